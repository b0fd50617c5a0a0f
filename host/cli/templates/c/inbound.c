// The plugin __NAME__, an inbound extension: takes in webhooks, and says which of them start a pipeline.

#include "manifest.h"

// The value of a header, or NULL.
static plugin_string_t *header(exports_hostler_extension_inbound_request_t *request, const char *name)
{
    for (size_t n = 0; n < request->headers.len; n++) {
        if (is(request->headers.ptr[n].name, name)) return &request->headers.ptr[n].value;
    }
    return NULL;
}

// Hexadecimal digits as bytes.
static plugin_list_u8_t bytes(const plugin_string_t *text)
{
    plugin_list_u8_t found = {0};
    if (!text) return found;
    found.ptr = malloc(text->len / 2 + 1);
    for (; found.len < text->len / 2; found.len++) {
        const char pair[] = {(char)text->ptr[2 * found.len], (char)text->ptr[2 * found.len + 1], 0};
        found.ptr[found.len] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return found;
}

// What a subscription listens to; it is asked about deliveries of that topic only.
bool exports_hostler_extension_inbound_topic(exports_hostler_extension_inbound_subscription_t *subscription,
                                             plugin_string_t *ret, exports_hostler_extension_inbound_failure_t *err)
{
    (void)err;
    *ret = json_string(subscription->params, "event");
    return true;
}

// Verifies who sends, and understands what is sent.
bool exports_hostler_extension_inbound_receive(exports_hostler_extension_inbound_endpoint_t *endpoint,
                                               exports_hostler_extension_inbound_request_t *request,
                                               exports_hostler_extension_inbound_delivery_t *ret,
                                               exports_hostler_extension_inbound_failure_t *err)
{
    (void)endpoint;
    // The host holds the secret and the body; the plugin sees the first never, and need not pass the second back.
    plugin_string_t name = say("webhook"), algorithm = say("hmac-sha256");
    hostler_host_secrets_part_t body = {.tag = HOSTLER_HOST_SECRETS_PART_REQUEST_BODY};
    hostler_host_secrets_list_part_t message = {&body, 1};
    plugin_list_u8_t signature = bytes(header(request, "x-signature"));
    hostler_host_secrets_refusal_t refusal;
    bool good = false;
    if (!hostler_host_secrets_verify(&name, &algorithm, &message, &signature, &good, &refusal)) {
        return failed(err, say("the secret cannot be used"));
    }
    if (!good) {
        *err = (hostler_plugin_types_failure_t){.tag = HOSTLER_PLUGIN_TYPES_FAILURE_DENIED,
                                                .val.denied = say("the signature is wrong")};
        return false;
    }
    plugin_string_t *event = header(request, "x-event"), *id = header(request, "x-delivery");
    plugin_string_t kind = event ? *event : say("event");
    *ret = (exports_hostler_extension_inbound_delivery_t){
        .id = {.is_some = id != NULL, .val = id ? copy(*id) : (plugin_string_t){0}},
        .kind = copy(kind),
        .topics = {ONE(plugin_string_t, copy(kind)), 1},
        .summary = say("%.*s was received", (int)kind.len, kind.ptr),
        // Only what select needs: the whole request is kept by the host.
        .data = say("%.*s", (int)request->body.len, request->body.ptr),
    };
    return true;
}

// What a delivery means for one subscription.
bool exports_hostler_extension_inbound_select(exports_hostler_extension_inbound_subscription_t *subscription,
                                              exports_hostler_extension_inbound_delivery_t *delivery,
                                              exports_hostler_extension_inbound_list_action_t *ret,
                                              exports_hostler_extension_inbound_failure_t *err)
{
    (void)subscription, (void)err;
    ret->len = 1;
    ret->ptr = ONE(hostler_plugin_types_action_t, {
        .tag = HOSTLER_PLUGIN_TYPES_ACTION_START,
        .val.start = {
            .params = say("{}"),
            .attributes = {ONE(hostler_plugin_types_attribute_t, attribute("EVENT", copy(delivery->kind))), 1},
            .summary = copy(delivery->summary),
            .key = {.is_some = delivery->id.is_some,
                    .val = delivery->id.is_some ? copy(delivery->id.val) : (plugin_string_t){0}},
        },
    });
    return true;
}
