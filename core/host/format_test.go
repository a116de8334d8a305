package host_test

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ordo-sequencer/ordo/core/host"
)

// TestWhatCannotBeExecutedIsNamed: for each file that the kernel does not start, or that ends before the handshake, the error
// says what is wrong with it, and go-plugin's own words never reach the operator.
func TestWhatCannotBeExecutedIsNamed(t *testing.T) {
	foreign := elf.EM_AARCH64
	if runtime.GOARCH == "arm64" {
		foreign = elf.EM_X86_64
	}
	for _, c := range []struct{ name, content, want string }{
		{"missing interpreter", "#!/opt/none/python\nprint()\n", "its interpreter /opt/none/python (line 1: #!) is missing: install it"},
		{"missing interpreter with arguments", "#! /opt/none/python -u\n", "its interpreter /opt/none/python (line 1: #!) is missing"},
		{"carriage return", "#!/bin/sh\r\nexit 1\r\n", "ends with a carriage return"},
		{"carriage return behind env", "#!/usr/bin/env sh\r\nexit 1\r\n", "ends with a carriage return"},
		{"interpreter unknown to env", "#!/usr/bin/env python9\n", `exit status 127 before it said anything on stdout (its first line is "#!/usr/bin/env python9": is that interpreter installed?); it wrote:`},
		{"interpreter is a folder", "#!/tmp\n", "its interpreter /tmp (line 1: #!) may not be executed"},
		{"no interpreter", "#!\n", "names no interpreter"},
		{"empty", "", "the file is empty"},
		{"no #! line", "import grpc\n", "a text without a #! line"},
		{"byte order mark", "\xef\xbb\xbf#!/bin/sh\n", "a byte order mark"},
		{"garbage", "\x00\x01\x02", "it is no program"},
		{"windows", "MZ\x90\x00\x03", "for Windows"},
		{"another machine", program(foreign, ""), "it was built for " + strings.TrimPrefix(foreign.String(), "EM_")},
		{"another system", program(native(), "/lib/ld-none.so.9"), "the loader that it was linked for, /lib/ld-none.so.9, is missing"},
		{"damaged", "\x7fELF\x02\x01", "a damaged program"},
		{"stdout closed", "#!/bin/sh\nexec 1>&-\nsleep 0.2\necho last words >&2\nexit 3\n", "it ended with exit status 3 before it said anything on stdout; it wrote:\n  last words"},
		{"core protocol", "#!/bin/sh\necho '2|1|unix|/tmp/none|grpc|'\nsleep 5\n", "version 2 of go-plugin's protocol"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "plugin")
			if err := os.WriteFile(path, []byte(c.content), 0o700); err != nil {
				t.Fatal(err)
			}
			s := spec(t, "good")
			s.Path = path
			for range 3 { // an end is seen in one order or another
				p, err := host.Start(context.Background(), host.Options{RunDir: t.TempDir()}, s)
				if err == nil {
					p.Kill()
					t.Fatal("started")
				}
				text := err.Error()
				if !strings.Contains(text, c.want) {
					t.Fatalf("error is\n%v\nwant\n%s", err, c.want)
				}
				for _, raw := range []string{"Unrecognized remote plugin", "Failed to read any lines", "fork/exec", "exec format error"} {
					if strings.Contains(text, raw) {
						t.Fatalf("the error says %q: %v", raw, err)
					}
				}
			}
		})
	}
}

func native() elf.Machine {
	if runtime.GOARCH == "arm64" {
		return elf.EM_AARCH64
	}
	return elf.EM_X86_64
}

// program is an ELF file with one program header: the loader that it asks for.
func program(machine elf.Machine, loader string) string {
	var b strings.Builder
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64}
	copy(header.Ident[:], "\x7fELF\x02\x01\x01")
	name := loader + "\x00"
	prog := elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 64 + 56, Filesz: uint64(len(name)), Memsz: uint64(len(name)), Align: 1}
	if loader == "" {
		prog.Type = uint32(elf.PT_NULL)
	}
	_ = binary.Write(&b, binary.LittleEndian, header)
	_ = binary.Write(&b, binary.LittleEndian, prog)
	return b.String() + name + strings.Repeat("\x00", 256)
}

// TestStackTraceOnce: what a plugin writes before it fails to start stands in the error, and not in the log as well.
func TestStackTraceOnce(t *testing.T) {
	t.Parallel()
	book := &logBook{}
	s := spec(t, "panics")
	_, err := host.Start(context.Background(), host.Options{Logger: book.logger()}, s)
	if err == nil || !strings.Contains(err.Error(), "panic: no database") {
		t.Fatal(err)
	}
	if strings.Contains(book.String(), "panic: no database") {
		t.Fatalf("the log has it too:\n%s", book)
	}
}

// TestEarlyLinesAreLogged: what a plugin writes before the handshake is in the log once it has started.
func TestEarlyLinesAreLogged(t *testing.T) {
	t.Parallel()
	book := &logBook{}
	s := spec(t, "good")
	script := filepath.Join(t.TempDir(), "wrapper")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nseq 30 | sed 's/^/early line /' >&2\nexec "+os.Args[0]+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Path = script
	start(t, host.Options{Logger: book.logger()}, s)
	for _, want := range []string{"early line 1\n", "early line 30\n"} {
		book.eventually(t, want)
	}
}
