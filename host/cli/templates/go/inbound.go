// Package export_hostler_extension_inbound is the plugin __NAME__, an inbound extension: it takes in webhooks, and says
// which of them start a pipeline.
package export_hostler_extension_inbound

import (
	"encoding/hex"
	"encoding/json"

	wit "go.bytecodealliance.org/pkg/wit/types"
	"wit_component/hostler_extension_inbound"
	"wit_component/hostler_host_secrets"
	types "wit_component/hostler_plugin_types"
)

type delivery = hostler_extension_inbound.Delivery

// Topic answers what a subscription listens to; it is asked about deliveries of that topic only.
func Topic(subscription types.Subscription) wit.Result[string, types.Failure] {
	var params struct{ Event string }
	if err := json.Unmarshal([]byte(subscription.Params), &params); err != nil {
		return wit.Err[string](types.MakeFailureFailed(err.Error()))
	}
	return wit.Ok[string, types.Failure](params.Event)
}

// Receive verifies who sends, and understands what is sent.
func Receive(endpoint hostler_extension_inbound.Endpoint, request hostler_extension_inbound.Request) wit.Result[delivery, types.Failure] {
	// The host holds the secret and the body; the plugin sees the first never, and need not pass the second back.
	signature, _ := hex.DecodeString(header(request, "x-signature").SomeOr(""))
	body := []hostler_host_secrets.Part{hostler_host_secrets.MakePartRequestBody()}
	good := hostler_host_secrets.Verify("webhook", "hmac-sha256", body, signature)
	if good.IsErr() {
		return wit.Err[delivery](types.MakeFailureFailed("the secret cannot be used"))
	}
	if !good.Ok() {
		return wit.Err[delivery](types.MakeFailureDenied("the signature is wrong"))
	}
	if !json.Valid(request.Body) {
		return wit.Err[delivery](types.MakeFailureFailed("the body is no JSON"))
	}
	kind := header(request, "x-event").SomeOr("event")
	return wit.Ok[delivery, types.Failure](delivery{
		Id:      header(request, "x-delivery"),
		Kind:    kind,
		Topics:  []string{kind},
		Summary: kind + " was received",
		// Only what Select needs: the whole request is kept by the host.
		Data:  string(request.Body),
		Reply: wit.None[hostler_extension_inbound.Reply](),
	})
}

// Select says what a delivery means for one subscription.
func Select(subscription types.Subscription, told delivery) wit.Result[[]types.Action, types.Failure] {
	start := types.RunRequest{
		Params:     "{}",
		Attributes: []types.Attribute{{Name: "EVENT", Value: told.Kind}},
		Summary:    told.Summary,
		Key:        told.Id,
	}
	return wit.Ok[[]types.Action, types.Failure]([]types.Action{types.MakeActionStart(start)})
}

func header(request hostler_extension_inbound.Request, name string) wit.Option[string] {
	for _, header := range request.Headers {
		if header.Name == name {
			return wit.Some(header.Value)
		}
	}
	return wit.None[string]()
}
