// Package export_hostler_renderer_renderer is the plugin __NAME__, a renderer: it answers what booting machines ask for.
package export_hostler_renderer_renderer

import (
	"strings"

	wit "go.bytecodealliance.org/pkg/wit/types"
	types "wit_component/hostler_plugin_types"
	"wit_component/hostler_renderer_renderer"
	"wit_component/hostler_renderer_templates"
)

type rendered = hostler_renderer_renderer.Rendered

func Render(request hostler_renderer_renderer.Request) wit.Result[rendered, types.Failure] {
	template := hostler_renderer_templates.Read(strings.TrimLeft(request.Path, "/"))
	if template.IsErr() {
		if refusal := template.Err(); refusal.Tag() == types.Refusal_Missing {
			return text(404, "there is no such template\n")
		}
		return wit.Err[rendered](types.MakeFailureFailed("no template can be read"))
	}
	var known []string
	// Addresses of the host; the tokens that belong to this machine are already in them.
	for _, url := range request.Urls {
		known = append(known, "{{"+url.Name+"}}", url.Value)
	}
	if request.Machine.IsSome() {
		machine := request.Machine.Some()
		known = append(known, "{{id}}", machine.Id, "{{mac}}", machine.Mac)
	}
	return text(200, strings.NewReplacer(known...).Replace(string(template.Ok())))
}

func text(status uint16, content string) wit.Result[rendered, types.Failure] {
	return wit.Ok[rendered, types.Failure](rendered{
		Status:  status,
		Headers: []types.Attribute{{Name: "content-type", Value: "text/plain; charset=utf-8"}},
		Content: hostler_renderer_renderer.MakeContentBytes([]byte(content)),
	})
}
