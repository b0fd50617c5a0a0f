// Text for a plugin in C: strings to give away, and the little JSON that params and answers need. A larger plugin would
// take a JSON library instead.
//
// What is returned from an exported function must be on the heap: the glue frees it.
#pragma once

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

// A list of one on the heap.
#define ONE(type, ...) ((type *)memcpy(malloc(sizeof(type)), (type[1]){__VA_ARGS__}, sizeof(type)))

// Text on the heap, written as printf does.
[[gnu::format(printf, 1, 2)]] static inline plugin_string_t say(const char *format, ...)
{
    va_list first, second;
    va_start(first, format);
    va_copy(second, first);
    size_t length = (size_t)vsnprintf(NULL, 0, format, first);
    char *text = malloc(length + 1);
    vsnprintf(text, length + 1, format, second);
    va_end(first);
    va_end(second);
    return (plugin_string_t){(uint8_t *)text, length};
}

static inline plugin_string_t copy(plugin_string_t text)
{
    return say("%.*s", (int)text.len, text.ptr);
}

static inline bool is(plugin_string_t text, const char *other)
{
    return text.len == strlen(other) && memcmp(text.ptr, other, text.len) == 0;
}

static inline hostler_plugin_types_attribute_t attribute(const char *name, plugin_string_t value)
{
    return (hostler_plugin_types_attribute_t){say("%s", name), value};
}

// The failure of the contract that trying again does not mend.
static inline bool failed(hostler_plugin_types_failure_t *err, plugin_string_t why)
{
    *err = (hostler_plugin_types_failure_t){.tag = HOSTLER_PLUGIN_TYPES_FAILURE_FAILED, .val.failed = why};
    return false;
}

// The end of the JSON value that begins here: the host has checked that it is whole.
static inline const char *json_end(const char *at)
{
    int depth = 0;
    do {
        if (*at == '"') {
            for (at++; *at != '"'; at++) at += *at == '\\';
            at++;
        } else if (*at == '{' || *at == '[') {
            depth++, at++;
        } else if (*at == '}' || *at == ']') {
            depth--, at++;
        } else if (depth > 0) {
            at++;
        } else {
            at += strcspn(at, ",]} \t\r\n");
        }
    } while (depth > 0);
    return at;
}

// Where the value of a member of this object begins, or NULL. The text must end with a zero byte, as say's does.
static inline const char *json_member(const char *json, const char *name)
{
    const char *at = json + strspn(json, " \t\r\n{");
    while (*at == '"') {
        const char *end = json_end(at);
        bool found = (size_t)(end - at) == strlen(name) + 2 && memcmp(at + 1, name, strlen(name)) == 0;
        at = end + strspn(end, " \t\r\n:");
        if (found) return at;
        at = json_end(at);
        at += strspn(at, " \t\r\n,");
    }
    return NULL;
}

static inline uint64_t json_number(plugin_string_t json, const char *name)
{
    plugin_string_t text = copy(json);
    const char *at = json_member((const char *)text.ptr, name);
    uint64_t number = at ? strtoull(at, NULL, 10) : 0;
    free(text.ptr);
    return number;
}

// A member that is text. Of escapes by number only those below 256 are right: take a JSON library where more matter.
static inline plugin_string_t json_string(plugin_string_t json, const char *name)
{
    plugin_string_t text = copy(json);
    const char *at = json_member((const char *)text.ptr, name);
    plugin_string_t found = say("%s", at ? at : "");
    found.len = 0;
    for (at = at && *at == '"' ? at + 1 : "\""; *at != '"'; at++) {
        char letter = *at;
        if (letter == '\\') {
            letter = *++at == 'n' ? '\n' : *at == 't' ? '\t' : *at == 'r' ? '\r' : *at;
            if (*at == 'u') letter = (char)strtoul((char[]){at[3], at[4], 0}, NULL, 16), at += 4;
        }
        found.ptr[found.len++] = (uint8_t)letter;
    }
    free(text.ptr);
    return found;
}

// The text as a JSON string, with its quotes.
static inline plugin_string_t json_quote(const uint8_t *text, size_t length)
{
    char *quoted = malloc(6 * length + 3), *to = quoted;
    *to++ = '"';
    for (const uint8_t *at = text; at < text + length; at++) {
        if (*at == '"' || *at == '\\') *to++ = '\\', *to++ = (char)*at;
        else if (*at < 0x20) to += sprintf(to, "\\u%04x", *at);
        else *to++ = (char)*at;
    }
    *to++ = '"';
    *to = 0;
    return (plugin_string_t){(uint8_t *)quoted, (size_t)(to - quoted)};
}
