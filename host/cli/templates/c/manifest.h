// Says what the plugin is.
#pragma once

#include "text.h"

void exports_hostler_plugin_manifest_describe(exports_hostler_plugin_manifest_json_t *ret)
{
    static const char manifest[] = {
#embed "manifest.json" suffix(, 0)
    };
    *ret = say("%s", manifest);
}
