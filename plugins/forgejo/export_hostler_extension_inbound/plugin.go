// Package export_hostler_extension_inbound is the plugin forgejo, an inbound extension: it takes in the webhooks of
// Forgejo and Gitea, and starts pipelines for pushes.
package export_hostler_extension_inbound

import (
	"encoding/hex"
	"encoding/json"
	"strings"

	wit "go.bytecodealliance.org/pkg/wit/types"
	"wit_component/hostler_extension_inbound"
	"wit_component/hostler_host_secrets"
	types "wit_component/hostler_plugin_types"
)

type delivery = hostler_extension_inbound.Delivery

type params struct {
	Repository string
	Branch     string
}

// push is the part of a payload that is of use here: as it comes, and as Select gets it.
type push struct {
	Ref        string `json:"ref"`
	After      string `json:"after"`
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
	Pusher struct {
		Login string `json:"login"`
	} `json:"pusher"`
}

// Topic is the repository: the host asks the subscriptions of a repository only.
func Topic(subscription types.Subscription) wit.Result[string, types.Failure] {
	var wanted params
	if err := json.Unmarshal([]byte(subscription.Params), &wanted); err != nil {
		return wit.Err[string](types.MakeFailureFailed(err.Error()))
	}
	return wit.Ok[string, types.Failure](strings.ToLower(wanted.Repository))
}

func Receive(endpoint hostler_extension_inbound.Endpoint, request hostler_extension_inbound.Request) wit.Result[delivery, types.Failure] {
	// The forge signs the body alone; the host has both the body and the secret.
	signature, err := hex.DecodeString(header(request, "signature").SomeOr(""))
	if err != nil {
		return wit.Err[delivery](types.MakeFailureDenied("the signature is wrong"))
	}
	body := []hostler_host_secrets.Part{hostler_host_secrets.MakePartRequestBody()}
	good := hostler_host_secrets.Verify("webhook", "hmac-sha256", body, signature)
	if good.IsErr() {
		return wit.Err[delivery](types.MakeFailureFailed("the secret `webhook` cannot be used: is it granted, and set?"))
	}
	if !good.Ok() {
		return wit.Err[delivery](types.MakeFailureDenied("the signature is wrong"))
	}
	event := header(request, "event").SomeOr("unknown")
	told := delivery{
		Id:      header(request, "delivery"),
		Kind:    event,
		Summary: event + " was received",
		Data:    "{}",
		Reply:   wit.None[hostler_extension_inbound.Reply](),
	}
	if event != "push" {
		// Kept by the host, and nobody is asked.
		return wit.Ok[delivery, types.Failure](told)
	}
	var payload push
	if err := json.Unmarshal(request.Body, &payload); err != nil {
		return wit.Err[delivery](types.MakeFailureFailed("the body is no push: " + err.Error()))
	}
	data, err := json.Marshal(payload)
	if err != nil {
		return wit.Err[delivery](types.MakeFailureFailed(err.Error()))
	}
	told.Data = string(data)
	told.Topics = []string{strings.ToLower(payload.Repository.FullName)}
	told.Summary = payload.Pusher.Login + " pushed " + payload.Ref + " of " + payload.Repository.FullName
	told.Attributes = []types.Attribute{
		{Name: "REPOSITORY", Value: payload.Repository.FullName},
		{Name: "REF", Value: payload.Ref},
		{Name: "COMMIT", Value: payload.After},
		{Name: "PUSHER", Value: payload.Pusher.Login},
	}
	return wit.Ok[delivery, types.Failure](told)
}

func Select(subscription types.Subscription, told delivery) wit.Result[[]types.Action, types.Failure] {
	var wanted params
	if err := json.Unmarshal([]byte(subscription.Params), &wanted); err != nil {
		return wit.Err[[]types.Action](types.MakeFailureFailed(err.Error()))
	}
	var payload push
	if err := json.Unmarshal([]byte(told.Data), &payload); err != nil {
		return wit.Err[[]types.Action](types.MakeFailureFailed(err.Error()))
	}
	if strings.Trim(payload.After, "0") == "" {
		return skip(payload.Ref + " was deleted")
	}
	if wanted.Branch != "" && payload.Ref != "refs/heads/"+wanted.Branch {
		return skip(payload.Ref + " is not the branch " + wanted.Branch)
	}
	start := types.RunRequest{
		Params:     "{}",
		Attributes: told.Attributes,
		Summary:    told.Summary,
		// A push that is delivered twice, by two endpoints or by hand, starts one run.
		Key: wit.Some(payload.Ref + "@" + payload.After),
	}
	return wit.Ok[[]types.Action, types.Failure]([]types.Action{types.MakeActionStart(start)})
}

func skip(why string) wit.Result[[]types.Action, types.Failure] {
	return wit.Ok[[]types.Action, types.Failure]([]types.Action{types.MakeActionSkip(why)})
}

// header finds what both forges send, under either name.
func header(request hostler_extension_inbound.Request, name string) wit.Option[string] {
	for _, forge := range []string{"x-forgejo-", "x-gitea-"} {
		for _, header := range request.Headers {
			if header.Name == forge+name {
				return wit.Some(header.Value)
			}
		}
	}
	return wit.None[string]()
}
