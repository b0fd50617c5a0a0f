// The plugin __NAME__, a trigger: says when a pipeline is due, and what is to be started then.

#include <time.h>

#include "manifest.h"

typedef exports_hostler_trigger_trigger_instant_t instant_t;

static plugin_string_t show(uint64_t at)
{
    time_t seconds = (time_t)(at / 1000);
    struct tm date;
    gmtime_r(&seconds, &date);
    return say("%04d-%02d-%02dT%02d:%02d:%02dZ", date.tm_year + 1900, date.tm_mon + 1, date.tm_mday, date.tm_hour,
               date.tm_min, date.tm_sec);
}

// The first `count` instants after `after`. Depends on what it is given and on nothing else.
bool exports_hostler_trigger_trigger_upcoming(exports_hostler_trigger_trigger_subscription_t *subscription,
                                              uint64_t after, uint32_t count,
                                              exports_hostler_trigger_trigger_list_instant_t *ret,
                                              exports_hostler_trigger_trigger_failure_t *err)
{
    // The host has checked the params against manifest.json, and filled in what was left out.
    uint64_t every = json_number(subscription->params, "minutes") * 60000;
    if (every == 0) return failed(err, say("no minutes"));
    uint64_t first = after / every + 1;
    *ret = (exports_hostler_trigger_trigger_list_instant_t){calloc(count, sizeof(instant_t)), count};
    for (uint32_t n = 0; n < count; n++) {
        uint64_t at = (first + n) * every;
        ret->ptr[n] = (instant_t){at, show(at)};
    }
    return true;
}

// Called at each of these instants. A poller would look at the world here, and start nothing or many.
bool exports_hostler_trigger_trigger_wake(exports_hostler_trigger_trigger_subscription_t *subscription, uint64_t at,
                                          exports_hostler_trigger_trigger_woken_t *ret,
                                          exports_hostler_trigger_trigger_failure_t *err)
{
    (void)subscription, (void)err;
    plugin_string_t instant = show(at);
    *ret = (exports_hostler_trigger_trigger_woken_t){0};
    ret->actions.len = 1;
    ret->actions.ptr = ONE(hostler_plugin_types_action_t, {
        .tag = HOSTLER_PLUGIN_TYPES_ACTION_START,
        .val.start = {
            .params = say("{}"),
            .attributes = {ONE(hostler_plugin_types_attribute_t, attribute("INSTANT", instant)), 1},
            .summary = say("due at %.*s", (int)instant.len, instant.ptr),
        },
    });
    return true;
}
