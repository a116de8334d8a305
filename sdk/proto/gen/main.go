// Command gen writes the Go code of the plugin protocol from the .proto files, with a compiler in pure Go.
// It is a module of its own so that nothing of it reaches the graph of ordo. Run it with `make proto`. With arguments it does the
// same for other .proto files: a folder, and their paths below it.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// files are those of the plugin protocol.
func files() []string {
	return []string{"ordo/v1/base.proto", "ordo/v1/ordering.proto", "ordo/v1/execution.proto", "ordo/v1/storage.proto", "ordo/v1/consensus.proto"}
}

func main() {
	root, names := "..", files() // sdk/proto
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	if len(os.Args) > 2 {
		names = os.Args[2:]
	}
	if err := run(root, names); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(root string, names []string) error {
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}}),
		SourceInfoMode: protocompile.SourceInfoStandard, // the comments go into the Go code
	}
	compiled, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		return err
	}
	req := &pluginpb.CodeGeneratorRequest{FileToGenerate: names}
	for _, f := range compiled {
		req.ProtoFile = append(req.ProtoFile, proto.Clone(protoutil.ProtoFromFileDescriptor(f)).(*descriptorpb.FileDescriptorProto))
	}
	for _, generator := range []struct{ tool, options string }{
		{"google.golang.org/protobuf/cmd/protoc-gen-go", "paths=source_relative"},
		{"google.golang.org/grpc/cmd/protoc-gen-go-grpc", "paths=source_relative,require_unimplemented_servers=false"},
	} {
		req.Parameter = proto.String(generator.options)
		if err := generate(root, generator.tool, req); err != nil {
			return fmt.Errorf("%s: %w", generator.tool, err)
		}
	}
	return nil
}

func generate(root, tool string, req *pluginpb.CodeGeneratorRequest) error {
	in, err := proto.Marshal(req)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "run", tool)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	var resp pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &resp); err != nil {
		return err
	}
	if resp.Error != nil {
		return fmt.Errorf("%s", *resp.Error)
	}
	for _, f := range resp.File {
		if err := os.WriteFile(filepath.Join(root, f.GetName()), []byte(f.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
