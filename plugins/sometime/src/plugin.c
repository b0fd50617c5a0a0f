// The plugin sometime, a trigger: one instant in each span of time, at a moment that a hash of seed and span decides.
//
// So the instants look random, need no memory, and are the same whenever they are asked for.

#include <time.h>

#include "manifest.h"

typedef exports_hostler_trigger_trigger_instant_t instant_t;

// The end of the year 9999, beyond which RFC 3339 has no words.
static const uint64_t LAST = 253402300799999;

static plugin_string_t show(uint64_t at)
{
    time_t seconds = (time_t)(at / 1000);
    struct tm date;
    gmtime_r(&seconds, &date);
    return say("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", date.tm_year + 1900, date.tm_mon + 1, date.tm_mday, date.tm_hour,
               date.tm_min, date.tm_sec, (int)(at % 1000));
}

// splitmix64 (Steele, Lea, Flood 2014): neighbouring numbers get unlike hashes.
static uint64_t hash(uint64_t number)
{
    number += 0x9e3779b97f4a7c15;
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9;
    number = (number ^ (number >> 27)) * 0x94d049bb133111eb;
    return number ^ (number >> 31);
}

static uint64_t moment(uint64_t span, uint64_t length, uint64_t seed)
{
    return span * length + hash(hash(seed) ^ span) % length;
}

bool exports_hostler_trigger_trigger_upcoming(exports_hostler_trigger_trigger_subscription_t *subscription,
                                              uint64_t after, uint32_t count,
                                              exports_hostler_trigger_trigger_list_instant_t *ret,
                                              exports_hostler_trigger_trigger_failure_t *err)
{
    uint64_t length = json_number(subscription->params, "minutes") * 60000;
    uint64_t seed = json_number(subscription->params, "seed");
    if (length == 0) return failed(err, say("no minutes"));
    *ret = (exports_hostler_trigger_trigger_list_instant_t){calloc(count ? count : 1, sizeof(instant_t)), 0};
    for (uint64_t span = after / length; ret->len < count; span++) {
        uint64_t at = moment(span, length, seed);
        if (at > LAST) break;
        if (at > after) ret->ptr[ret->len++] = (instant_t){at, show(at)};
    }
    return true;
}

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
            .summary = say("some time, which is %.*s", (int)instant.len, instant.ptr),
        },
    });
    return true;
}
