// Package export_hostler_relay_relay is the plugin __NAME__, a relay: it passes on what a job reports to the address
// that its sender gave.
package export_hostler_relay_relay

import (
	"fmt"
	"strconv"

	wit "go.bytecodealliance.org/pkg/wit/types"
	"wit_component/hostler_host_http"
	types "wit_component/hostler_plugin_types"
	"wit_component/hostler_relay_relay"
)

// Relay may answer a temporary failure, which is tried again, in order for one job; anything else is not.
func Relay(report hostler_relay_relay.Report, attempt uint32) wit.Result[wit.Unit, types.Failure] {
	answer := hostler_host_http.Send(hostler_host_http.Request{
		Method: "POST",
		Url:    report.Callback,
		Headers: []types.Attribute{
			{Name: "content-type", Value: report.ContentType},
			{Name: "x-status", Value: report.Status},
			{Name: "x-sequence", Value: strconv.FormatUint(report.Sequence, 10)},
		},
		Body:       report.Body,
		TimeoutMs:  wit.None[uint32](),
		Credential: wit.None[string](),
	})
	if answer.IsErr() {
		return again(fmt.Sprintf("nothing was sent: %+v", answer.Err()))
	}
	switch status := answer.Ok().Status; {
	case status >= 500:
		return again(fmt.Sprintf("it answers %d", status))
	case status < 200 || status >= 300:
		return wit.Err[wit.Unit](types.MakeFailureFailed(fmt.Sprintf("it answers %d", status)))
	}
	return wit.Ok[wit.Unit, types.Failure](wit.Unit{})
}

func again(message string) wit.Result[wit.Unit, types.Failure] {
	return wit.Err[wit.Unit](types.MakeFailureTemporary(types.Retry{Message: message, AfterMs: wit.None[uint64]()}))
}
