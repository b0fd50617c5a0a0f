// The plugin __NAME__, a builder: makes pipeline documents of an author's own files.

#include "manifest.h"

typedef exports_hostler_builder_builder_origin_t origin_t;

static bool problem(hostler_plugin_types_failure_t *err, plugin_string_t file, const char *message)
{
    *err = (hostler_plugin_types_failure_t){.tag = HOSTLER_PLUGIN_TYPES_FAILURE_INVALID};
    err->val.invalid.len = 1;
    err->val.invalid.ptr = ONE(hostler_plugin_types_problem_t, {.at = copy(file), .message = say("%s", message)});
    return false;
}

// Depends on files and params and on nothing else.
bool exports_hostler_builder_builder_build(exports_hostler_builder_builder_input_t *input,
                                           exports_hostler_builder_builder_output_t *ret,
                                           exports_hostler_builder_builder_failure_t *err)
{
    plugin_list_u8_t read;
    hostler_builder_files_refusal_t refusal;
    plugin_string_t file = copy(input->entry);
    if (!hostler_builder_files_read(&input->entry, &read, &refusal)) return problem(err, file, "cannot be read");
    plugin_string_t text = say("%.*s", (int)read.len, read.ptr), tasks = say("%s", "");
    origin_t *origins = calloc(text.len + 1, sizeof(origin_t));
    uint32_t count = 0, number = 0;
    for (char *line = (char *)text.ptr, *next; line; line = next) {
        next = strchr(line, '\n');
        size_t length = next ? (size_t)(next++ - line) : strlen(line);
        number++;
        if (strspn(line, " \t\r") >= length) continue;
        plugin_string_t script = json_quote((uint8_t *)line, length);
        plugin_string_t needs = count ? say(",\"depends_on\":[\"step-%u\"]", count) : say("%s", "");
        count++;
        tasks = say("%s%s\"step-%u\":{\"process\":{\"script\":%s}%s}", tasks.ptr, count > 1 ? "," : "", count, script.ptr,
                    needs.ptr);
        // The host shows what is wrong with a task in the line that it came from.
        origins[count - 1] = (origin_t){say("/tasks/step-%u", count), copy(file), number, 1};
    }
    if (count == 0) return problem(err, file, "holds no command");
    const char *slash = strrchr((char *)file.ptr, '/'), *base = slash ? slash + 1 : (char *)file.ptr;
    const char *end = strstr(base, ".steps");
    plugin_string_t id = json_quote((const uint8_t *)base, end ? (size_t)(end - base) : strlen(base));
    *ret = (exports_hostler_builder_builder_output_t){0};
    ret->documents.len = 1;
    ret->documents.ptr = ONE(exports_hostler_builder_builder_document_t, {
        .kind = say("pipeline"),
        .body = say("{\"id\":%s,\"tasks\":{%s}}", id.ptr, tasks.ptr),
        .origins = {origins, count},
    });
    return true;
}
