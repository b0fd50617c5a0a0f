// The plugin __NAME__, a relay: passes on what a job reports to the address that its sender gave.

#include "manifest.h"

// A temporary failure is tried again, in order for one job; anything else is not.
bool exports_hostler_relay_relay_relay(exports_hostler_relay_relay_report_t *report, uint32_t attempt,
                                       exports_hostler_relay_relay_failure_t *err)
{
    (void)attempt;
    hostler_host_http_attribute_t headers[] = {
        attribute("content-type", report->content_type),
        attribute("x-status", report->status),
        attribute("x-sequence", say("%llu", (unsigned long long)report->sequence)),
    };
    hostler_host_http_request_t request = {
        .method = say("POST"),
        .url = report->callback,
        .headers = {headers, sizeof(headers) / sizeof(headers[0])},
        .body = {report->body.ptr, report->body.len},
    };
    hostler_host_http_response_t response = {0};
    hostler_host_http_refusal_t refusal;
    bool sent = hostler_host_http_send(&request, &response, &refusal);
    if (sent && response.status >= 200 && response.status < 300) return true;
    if (sent && response.status < 500) return failed(err, say("it answers %d", response.status));
    *err = (hostler_plugin_types_failure_t){.tag = HOSTLER_PLUGIN_TYPES_FAILURE_TEMPORARY,
                                            .val.temporary.message = say("the callback answers %d", response.status)};
    return false;
}
