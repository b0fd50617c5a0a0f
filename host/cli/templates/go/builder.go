// Package export_hostler_builder_builder is the plugin __NAME__, a builder: it makes pipeline documents of an author's
// own files.
package export_hostler_builder_builder

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	wit "go.bytecodealliance.org/pkg/wit/types"
	"wit_component/hostler_builder_builder"
	"wit_component/hostler_builder_files"
	types "wit_component/hostler_plugin_types"
)

type output = hostler_builder_builder.Output

// Build depends on files and params and on nothing else.
func Build(input hostler_builder_builder.Input) wit.Result[output, types.Failure] {
	file := input.Entry
	read := hostler_builder_files.Read(file)
	if read.IsErr() {
		return problem(file, fmt.Sprintf("cannot be read: %+v", read.Err()))
	}
	tasks := map[string]any{}
	var origins []hostler_builder_builder.Origin
	before := ""
	for at, line := range strings.Split(string(read.Ok()), "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name := fmt.Sprintf("step-%d", len(tasks)+1)
		task := map[string]any{"process": map[string]string{"script": line}}
		if before != "" {
			task["depends_on"] = []string{before}
		}
		// The host shows what is wrong with a task in the line that it came from.
		origins = append(origins, hostler_builder_builder.Origin{
			Pointer: "/tasks/" + name, File: file, Line: uint32(at) + 1, Column: 1,
		})
		tasks[name] = task
		before = name
	}
	if before == "" {
		return problem(file, "holds no command")
	}
	id := strings.TrimSuffix(path.Base(file), ".steps")
	body, err := json.Marshal(map[string]any{"id": id, "tasks": tasks})
	if err != nil {
		return wit.Err[output](types.MakeFailureFailed(err.Error()))
	}
	document := hostler_builder_builder.Document{Kind: "pipeline", Body: string(body), Origins: origins}
	return wit.Ok[output, types.Failure](output{Documents: []hostler_builder_builder.Document{document}})
}

func problem(file, message string) wit.Result[output, types.Failure] {
	found := types.Problem{
		At: file, Line: wit.None[uint32](), Column: wit.None[uint32](), Message: message, Hint: wit.None[string](),
	}
	return wit.Err[output](types.MakeFailureInvalid([]types.Problem{found}))
}
