// Package export_hostler_trigger_trigger is the plugin __NAME__, a trigger: it says when a pipeline is due, and what is
// to be started then.
package export_hostler_trigger_trigger

import (
	"encoding/json"
	"time"

	wit "go.bytecodealliance.org/pkg/wit/types"
	types "wit_component/hostler_plugin_types"
	"wit_component/hostler_trigger_trigger"
)

// Upcoming answers the first `count` instants after `after`. It depends on what it is given and on nothing else.
func Upcoming(subscription types.Subscription, after uint64, count uint32) wit.Result[[]hostler_trigger_trigger.Instant, types.Failure] {
	// The host has checked the params against manifest.json, and filled in what was left out.
	var params struct{ Minutes uint64 }
	if err := json.Unmarshal([]byte(subscription.Params), &params); err != nil {
		return wit.Err[[]hostler_trigger_trigger.Instant](types.MakeFailureFailed(err.Error()))
	}
	every := params.Minutes * 60_000
	var instants []hostler_trigger_trigger.Instant
	for at := (after/every + 1) * every; uint32(len(instants)) < count; at += every {
		instants = append(instants, hostler_trigger_trigger.Instant{At: at, Local: show(at)})
	}
	return wit.Ok[[]hostler_trigger_trigger.Instant, types.Failure](instants)
}

// Wake is called at each of these instants. A poller would look at the world here, and start nothing or many.
func Wake(subscription types.Subscription, at uint64) wit.Result[hostler_trigger_trigger.Woken, types.Failure] {
	start := types.RunRequest{
		Params:     "{}",
		Attributes: []types.Attribute{{Name: "INSTANT", Value: show(at)}},
		Summary:    "due at " + show(at),
		Key:        wit.None[string](),
	}
	return wit.Ok[hostler_trigger_trigger.Woken, types.Failure](hostler_trigger_trigger.Woken{
		Actions: []types.Action{types.MakeActionStart(start)},
		Again:   wit.None[uint64](),
		Note:    wit.None[string](),
	})
}

func show(at uint64) string {
	return time.UnixMilli(int64(at)).UTC().Format(time.RFC3339)
}
