// Package export_hostler_extension_outbound is the plugin __NAME__, an outbound extension: it tells somebody else what
// happened in the host.
package export_hostler_extension_outbound

import (
	"encoding/json"
	"fmt"

	wit "go.bytecodealliance.org/pkg/wit/types"
	"wit_component/hostler_extension_outbound"
	"wit_component/hostler_host_http"
	types "wit_component/hostler_plugin_types"
)

type handled = hostler_extension_outbound.Handled

// Handle is given events in order, at least once. What is beyond Through is given again.
func Handle(subscription types.Subscription, events []hostler_extension_outbound.Event) wit.Result[handled, types.Failure] {
	var params struct{ Url string }
	if err := json.Unmarshal([]byte(subscription.Params), &params); err != nil {
		return wit.Err[handled](types.MakeFailureFailed(err.Error()))
	}
	var through uint64
	for _, event := range events {
		if err := post(params.Url, event); err != nil {
			if through == 0 {
				again := types.Retry{Message: err.Error(), AfterMs: wit.None[uint64]()}
				return wit.Err[handled](types.MakeFailureTemporary(again))
			}
			break
		}
		through = event.Cursor
	}
	return wit.Ok[handled, types.Failure](handled{Through: through})
}

func post(url string, event hostler_extension_outbound.Event) error {
	body, err := json.Marshal(map[string]string{
		"kind":     event.Kind,
		"pipeline": event.Pipeline.SomeOr(""),
		"run":      event.Run.SomeOr(""),
	})
	if err != nil {
		return err
	}
	answer := hostler_host_http.Send(hostler_host_http.Request{
		Method:     "POST",
		Url:        url,
		Headers:    []types.Attribute{{Name: "content-type", Value: "application/json"}},
		Body:       body,
		TimeoutMs:  wit.None[uint32](),
		Credential: wit.None[string](),
	})
	if answer.IsErr() {
		return fmt.Errorf("nothing was sent: %+v", answer.Err())
	}
	if status := answer.Ok().Status; status < 200 || status >= 300 {
		return fmt.Errorf("the receiver answers %d", status)
	}
	return nil
}
