// The plugin __NAME__, a renderer: answers what booting machines ask for.

#include "manifest.h"

static plugin_string_t replaced(plugin_string_t text, plugin_string_t name, plugin_string_t value)
{
    plugin_string_t mark = say("{{%.*s}}", (int)name.len, name.ptr);
    char *at = strstr((char *)text.ptr, (char *)mark.ptr);
    if (!at) return text;
    plugin_string_t rest = {(uint8_t *)at + mark.len, text.len - (size_t)(at - (char *)text.ptr) - mark.len};
    rest = replaced(rest, name, value);
    return say("%.*s%.*s%s", (int)(at - (char *)text.ptr), text.ptr, (int)value.len, value.ptr, rest.ptr);
}

static bool answer(exports_hostler_renderer_renderer_rendered_t *ret, uint16_t status, plugin_string_t text)
{
    *ret = (exports_hostler_renderer_renderer_rendered_t){
        .status = status,
        .headers = {ONE(hostler_plugin_types_attribute_t,
                        attribute("content-type", say("text/plain; charset=utf-8"))), 1},
        .content = {.tag = EXPORTS_HOSTLER_RENDERER_RENDERER_CONTENT_BYTES, .val.bytes = {text.ptr, text.len}},
    };
    return true;
}

bool exports_hostler_renderer_renderer_render(exports_hostler_renderer_renderer_request_t *request,
                                              exports_hostler_renderer_renderer_rendered_t *ret,
                                              exports_hostler_renderer_renderer_failure_t *err)
{
    plugin_string_t path = copy(request->path);
    while (path.len > 0 && *path.ptr == '/') path.ptr++, path.len--;
    plugin_list_u8_t template;
    hostler_renderer_templates_refusal_t refusal;
    if (!hostler_renderer_templates_read(&path, &template, &refusal)) {
        if (refusal.tag == HOSTLER_PLUGIN_TYPES_REFUSAL_MISSING) {
            return answer(ret, 404, say("there is no such template\n"));
        }
        return failed(err, say("no template can be read"));
    }
    plugin_string_t text = say("%.*s", (int)template.len, template.ptr);
    // Addresses of the host; the tokens that belong to this machine are already in them.
    for (size_t n = 0; n < request->urls.len; n++) {
        text = replaced(text, request->urls.ptr[n].name, request->urls.ptr[n].value);
    }
    if (request->machine.is_some) {
        text = replaced(text, say("id"), request->machine.val.id);
        text = replaced(text, say("mac"), request->machine.val.mac);
    }
    return answer(ret, 200, text);
}
