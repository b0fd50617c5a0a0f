// The plugin __NAME__, an outbound extension: tells somebody else what happened in the host.

#include "manifest.h"

typedef exports_hostler_extension_outbound_event_t event_t;

static plugin_string_t quoted(plugin_option_string_t text)
{
    return text.is_some ? json_quote(text.val.ptr, text.val.len) : say("null");
}

// The status that the receiver answers, or 0 where nothing was sent.
static uint16_t post(plugin_string_t url, event_t *event)
{
    plugin_string_t kind = json_quote(event->kind.ptr, event->kind.len);
    plugin_string_t pipeline = quoted(event->pipeline), run = quoted(event->run);
    plugin_string_t body = say("{\"kind\":%s,\"pipeline\":%s,\"run\":%s}", kind.ptr, pipeline.ptr, run.ptr);
    hostler_host_http_attribute_t type = attribute("content-type", say("application/json"));
    hostler_host_http_request_t request = {
        .method = say("POST"),
        .url = url,
        .headers = {&type, 1},
        .body = {body.ptr, body.len},
    };
    hostler_host_http_response_t response;
    hostler_host_http_refusal_t refusal;
    return hostler_host_http_send(&request, &response, &refusal) ? response.status : 0;
}

// Events come in order, at least once. What is beyond `through` is given again.
bool exports_hostler_extension_outbound_handle(exports_hostler_extension_outbound_subscription_t *subscription,
                                               exports_hostler_extension_outbound_list_event_t *events,
                                               exports_hostler_extension_outbound_handled_t *ret,
                                               exports_hostler_extension_outbound_failure_t *err)
{
    plugin_string_t url = json_string(subscription->params, "url");
    *ret = (exports_hostler_extension_outbound_handled_t){0};
    for (size_t n = 0; n < events->len; n++) {
        uint16_t status = post(url, &events->ptr[n]);
        if (status >= 200 && status < 300) {
            ret->through = events->ptr[n].cursor;
        } else if (n == 0) {
            *err = (hostler_plugin_types_failure_t){.tag = HOSTLER_PLUGIN_TYPES_FAILURE_TEMPORARY,
                                                    .val.temporary.message = say("the receiver answers %d", status)};
            return false;
        } else {
            break;
        }
    }
    return true;
}
