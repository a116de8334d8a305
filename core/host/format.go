package host

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// explainExec puts the kernel's refusal to start a program into words. Its own are misleading: "no such file" is also said of a
// script whose interpreter is missing, "exec format error" of whatever it cannot run.
func explainExec(path string, cause error) error {
	switch {
	case errors.Is(cause, syscall.ENOENT):
		if missing := missingPart(path); missing != "" {
			return errors.New(missing)
		}
	case errors.Is(cause, syscall.ENOEXEC):
		return fmt.Errorf("it cannot be started: %s", noProgram(path))
	case errors.Is(cause, syscall.EACCES):
		if line, ok := shebang(path); ok {
			return fmt.Errorf("its interpreter %s (line 1: #!) may not be executed: name the interpreter's executable there", interpreter(line))
		}
		return fmt.Errorf("it may not be executed: %w: look at the rights of the file and of its folders, and whether the file system is mounted noexec", cause)
	case errors.Is(cause, syscall.ETXTBSY):
		return errors.New("it is being written: wait until its build has finished, then start again")
	}
	return cause
}

// missingPart names the file without which the kernel does not start a program that is there; "" when it knows none.
func missingPart(path string) string {
	if line, ok := shebang(path); ok {
		if strings.HasSuffix(line, "\r") {
			return fmt.Sprintf("its first line %q ends with a carriage return, which is taken for a part of the interpreter's name: save the file with LF line ends", "#!"+line)
		}
		if program := interpreter(line); program != "" {
			return fmt.Sprintf("its interpreter %s (line 1: #!) is missing: install it, or name another one there", program)
		}
		return "its first line #! names no interpreter: write one there, as in #!/usr/bin/env python3"
	}
	file, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
		if err != nil {
			return ""
		}
		return fmt.Sprintf("the loader that it was linked for, %s, is missing: it was built for another system; build it for this one, or statically",
			strings.TrimRight(string(name), "\x00"))
	}
	return ""
}

// noProgram says what a file is that the kernel does not take for a program.
func noProgram(path string) string {
	if info, err := os.Stat(path); err == nil && info.Size() == 0 {
		return "the file is empty"
	}
	if line, ok := shebang(path); ok && interpreter(line) == "" {
		return "its first line #! names no interpreter: write one there, as in #!/usr/bin/env python3"
	}
	if file, err := elf.Open(path); err == nil {
		defer file.Close()
		return fmt.Sprintf("it was built for %s (%s), this machine is %s: build it for this one", strings.TrimPrefix(file.Machine.String(), "EM_"),
			strings.TrimPrefix(file.Class.String(), "ELF"), runtime.GOARCH)
	}
	head := beginning(path)
	switch {
	case strings.HasPrefix(head, "MZ"):
		return "it is a program for Windows: build it for this system"
	case strings.HasPrefix(head, "\xcf\xfa\xed\xfe"), strings.HasPrefix(head, "\xca\xfe\xba\xbe"):
		return "it is a program for macOS: build it for this system"
	case strings.HasPrefix(head, "\x7fELF"):
		return "it is a damaged program: build or copy it again"
	case strings.HasPrefix(head, "\xef\xbb\xbf#!"):
		return "a byte order mark stands before its #! line: save the file without one"
	case isText(head):
		return "it is a text without a #! line: a script names its interpreter in line 1, as in #!/usr/bin/env python3; source code has to be built first"
	}
	return "it is no program: neither one built for this system nor a script with a #! line"
}

// interpreterHint explains the commonest ends of a script before its first line of output.
func interpreterHint(p *process) string {
	line, ok := shebang(p.cmd.Path)
	if !ok || p.reason != "exit status 127" {
		return ""
	}
	if strings.HasSuffix(line, "\r") {
		return fmt.Sprintf(" (its first line %q ends with a carriage return: save the file with LF line ends)", "#!"+line)
	}
	return fmt.Sprintf(" (its first line is %q: is that interpreter installed?)", "#!"+line)
}

// shebang returns what follows #! in the first line of a script.
func shebang(path string) (string, bool) {
	line, _, _ := strings.Cut(beginning(path), "\n")
	return strings.CutPrefix(line, "#!")
}

// interpreter is the program that a #! line names.
func interpreter(line string) string {
	program, _, _ := strings.Cut(strings.TrimLeft(line, " \t"), " ")
	program, _, _ = strings.Cut(program, "\t")
	return program
}

// beginning returns the first bytes of a file; the kernel looks at no more than 256 of them for a #! line.
func beginning(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	head, _ := bufio.NewReaderSize(file, 256).Peek(256)
	return string(head)
}

func isText(head string) bool {
	return !strings.ContainsFunc(head, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0xFFFD })
}
