//! The reference page and the OpenAPI document, made once from the code and served as they are: no script, nothing from
//! elsewhere, good in light and dark.
//!
//! Must not know: requests; both are the same for everybody.

use serde_json::{Map, Value};
use std::fmt::Write;
use std::sync::OnceLock;

const STYLE: &str = include_str!("reference.css");

/// The document as it is served and as it lies in `docs/reference/openapi.json`.
pub(crate) fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        // Every part of the document is plain data, so that writing it as JSON cannot fail.
        let mut text = crate::openapi().to_pretty_json().unwrap_or_default();
        text.push('\n');
        text
    })
}

pub(crate) fn page() -> &'static str {
    static PAGE: OnceLock<String> = OnceLock::new();
    PAGE.get_or_init(|| {
        let document: Value = serde_json::from_str(document()).unwrap_or_default();
        render(&document)
    })
}

/// One operation with all that its section shows.
struct Operation<'d> {
    path: &'d str,
    method: &'d str,
    said: &'d Value,
}

impl Operation<'_> {
    fn text(&self, key: &str) -> &str {
        self.said[key].as_str().unwrap_or_default()
    }

    fn tag(&self) -> &str {
        self.said["tags"][0].as_str().unwrap_or("Other")
    }
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for method in ["get", "post", "put", "delete"] {
            if let Some(said) = item.get(method) {
                all.push(Operation { path, method, said });
            }
        }
    }
    all
}

const ORDER: [&str; 10] =
    ["Pipelines", "Runs", "Tasks", "Logs", "Events", "Subscriptions", "Plugins", "Secrets", "Backups", "Host"];

fn render(document: &Value) -> String {
    let operations = operations(document);
    let mut html = String::with_capacity(256 * 1024);
    let version = escape(document["info"]["version"].as_str().unwrap_or_default());
    // Writing into a String cannot fail, so the results of `write!` are dropped throughout this file.
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><title>Hostler API</title><style>{STYLE}</style></head>\
         <body><a class=\"skip\" href=\"#content\">To the content</a><header><h1>Hostler <span>API {version}</span></h1><p>{}</p>\
         <p>Send a token as <code>Authorization: Bearer …</code>; the file <code>token</code> in the data folder holds the first one. \
         The same as a document: <a href=\"/api/v1/openapi.json\">openapi.json</a>.</p></header>",
        prose(document["info"]["description"].as_str().unwrap_or_default()),
    );
    navigation(&mut html, &operations);
    html.push_str("<main id=\"content\">");
    for tag in ORDER {
        let _ = write!(html, "<section><h2 id=\"{}\">{tag}</h2>", anchor(tag));
        for operation in operations.iter().filter(|operation| operation.tag() == tag) {
            section(&mut html, operation);
        }
        html.push_str("</section>");
    }
    schemas(&mut html, document);
    html.push_str("</main></body></html>\n");
    html
}

fn navigation(html: &mut String, operations: &[Operation<'_>]) {
    html.push_str("<nav aria-label=\"Operations\">");
    for tag in ORDER {
        let _ = write!(html, "<details open><summary><a href=\"#{}\">{tag}</a></summary><ul>", anchor(tag));
        for operation in operations.iter().filter(|operation| operation.tag() == tag) {
            let id = escape(operation.text("operationId"));
            let _ = write!(html, "<li><a href=\"#{id}\">{}</a></li>", escape(operation.text("summary")));
        }
        html.push_str("</ul></details>");
    }
    html.push_str("<details><summary><a href=\"#schemas\">Schemas</a></summary></details></nav>");
}

fn section(html: &mut String, operation: &Operation<'_>) {
    let id = escape(operation.text("operationId"));
    let _ = write!(
        html,
        "<article id=\"{id}\"><h3><a href=\"#{id}\">{}</a></h3><p class=\"line\"><b class=\"{method}\">{}</b> <code>{}</code></p>",
        escape(operation.text("summary")),
        operation.method.to_uppercase(),
        escape(operation.path),
        method = operation.method,
    );
    let description = operation.text("description");
    if !description.is_empty() {
        let _ = write!(html, "<p>{}</p>", prose(description));
    }
    let _ =
        write!(html, "<p class=\"permission\">Permission: <code>{}</code></p>", escape(operation.text("x-permission")));
    parameters(html, operation.said);
    body(html, operation.said);
    responses(html, operation.said);
    let _ = write!(
        html,
        "<details><summary>curl</summary><pre><code>{}</code></pre></details></article>",
        escape(&curl(operation))
    );
}

fn parameters(html: &mut String, said: &Value) {
    let Some(parameters) = said["parameters"].as_array().filter(|list| !list.is_empty()) else { return };
    html.push_str("<table><caption>Parameters</caption><thead><tr><th>Name</th><th>In</th><th>Type</th><th>Meaning</th></tr></thead><tbody>");
    for parameter in parameters {
        let text = |key: &str| prose(parameter[key].as_str().unwrap_or_default());
        let required = if parameter["required"] == true { " <em>required</em>" } else { "" };
        let _ = write!(
            html,
            "<tr><td><code>{}</code>{required}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            text("name"),
            text("in"),
            shape(&parameter["schema"]),
            text("description"),
        );
    }
    html.push_str("</tbody></table>");
}

fn body(html: &mut String, said: &Value) {
    let Some(content) = said["requestBody"]["content"].as_object() else { return };
    for (kind, media) in content {
        let _ = write!(html, "<p>Body: {} as <code>{}</code></p>", shape(&media["schema"]), escape(kind));
    }
}

fn responses(html: &mut String, said: &Value) {
    let Some(responses) = said["responses"].as_object() else { return };
    html.push_str(
        "<table><caption>Answers</caption><thead><tr><th>Status</th><th>Body</th><th>Meaning</th></tr></thead><tbody>",
    );
    for (status, response) in responses {
        let content = response["content"].as_object().into_iter();
        let bodies: Vec<String> = content.flat_map(Map::values).map(|media| shape(&media["schema"])).collect();
        let _ = write!(
            html,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            escape(status),
            bodies.join(" or "),
            prose(response["description"].as_str().unwrap_or_default()),
        );
    }
    html.push_str("</tbody></table>");
}

fn schemas(html: &mut String, document: &Value) {
    html.push_str("<section><h2 id=\"schemas\">Schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let description = prose(schema["description"].as_str().unwrap_or_default());
        let name = escape(name);
        let _ = write!(
            html,
            "<article id=\"schema-{name}\"><h3><a href=\"#schema-{name}\">{name}</a></h3><p>{description}</p>"
        );
        fields(html, schema);
        html.push_str("</article>");
    }
    html.push_str("</section>");
}

fn fields(html: &mut String, schema: &Value) {
    let parts = schema["allOf"].as_array().map_or_else(|| vec![schema], |parts| parts.iter().collect());
    for part in parts {
        let Some(properties) = part["properties"].as_object() else {
            let _ = write!(html, "<p>{}</p>", shape(part));
            continue;
        };
        let required: Vec<&str> = part["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        html.push_str("<table><thead><tr><th>Field</th><th>Type</th><th>Meaning</th></tr></thead><tbody>");
        for (name, property) in properties {
            let mark = if required.contains(&name.as_str()) { " <em>required</em>" } else { "" };
            let _ = write!(
                html,
                "<tr><td><code>{}</code>{mark}</td><td>{}</td><td>{}</td></tr>",
                escape(name),
                shape(property),
                prose(property["description"].as_str().unwrap_or_default()),
            );
        }
        html.push_str("</tbody></table>");
    }
}

/// A schema in a few words, with a link where it has a name.
fn shape(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    if let Some(choices) = schema["enum"].as_array() {
        let words = choices.iter().filter_map(Value::as_str).map(|word| format!("<code>{}</code>", escape(word)));
        return words.collect::<Vec<_>>().join(", ");
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        if let Some(parts) = schema[several].as_array() {
            let parts = parts.iter().filter(|part| part["type"] != "null").map(shape).filter(|part| !part.is_empty());
            return parts.collect::<Vec<_>>().join(" or ");
        }
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect::<Vec<_>>().join(" or ")
        }
        _ => String::new(),
    };
    match (kind.as_str(), schema["format"].as_str()) {
        ("array", _) => format!("list of {}", shape(&schema["items"])),
        (kind, Some("date-time")) => format!("{} (RFC 3339)", escape(kind)),
        (kind, _) => escape(kind),
    }
}

fn curl(operation: &Operation<'_>) -> String {
    let mut command = String::from("curl");
    if operation.method != "get" {
        let _ = write!(command, " -X {}", operation.method.to_uppercase());
    }
    if operation.text("x-permission") != "none" {
        command.push_str(" -H \"Authorization: Bearer $(cat \"$HOSTLER_TOKEN_FILE\")\"");
    }
    if operation.said["requestBody"].is_object() {
        command.push_str(" \\\n  -H 'Content-Type: application/json' -d @body.json");
    }
    if operation.path.ends_with("/follow") {
        command.push_str(" -N");
    }
    let path = operation.path.replace("{namespace}", "default").replace(['{', '}'], "");
    let _ = write!(command, " \\\n  \"$HOSTLER_URL{path}\"");
    command
}

fn anchor(text: &str) -> String {
    text.to_lowercase().replace(' ', "-")
}

/// Prose of the document: escaped, and what stands between backticks as code.
fn prose(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    let mut parts = text.split('`').peekable();
    let mut is_code = false;
    while let Some(part) = parts.next() {
        // A backtick without its other half is one.
        match (is_code, parts.peek().is_some()) {
            (true, true) => html.extend(["<code>", &escape(part), "</code>"]),
            (true, false) => html.extend(["`", &escape(part)]),
            (false, _) => html.push_str(&escape(part)),
        }
        is_code = !is_code;
    }
    html
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_between_backticks_is_code_and_all_is_escaped() {
        assert_eq!(prose("pass `<next>` & go"), "pass <code>&lt;next&gt;</code> &amp; go");
        assert_eq!(prose("a lone ` stays"), "a lone ` stays");
    }

    #[test]
    fn the_page_shows_every_operation_and_asks_nothing_of_anyone() {
        let document: Value = serde_json::from_str(document()).expect("JSON");
        let page = page();
        for operation in operations(&document) {
            let id = operation.text("operationId");
            assert!(page.contains(&format!("<article id=\"{id}\">")), "{id}");
            assert!(ORDER.contains(&operation.tag()), "{id} is in no section of the page");
        }
        for foreign in ["<script", "http://", "https://", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        let targets = page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next());
        for target in targets {
            assert!(page.contains(&format!("id=\"{target}\"")), "a link leads to #{target}, which is not there");
        }
    }

    #[test]
    fn text_never_becomes_markup() {
        assert_eq!(escape("<b a='1' b=\"2\">&"), "&lt;b a=&#39;1&#39; b=&quot;2&quot;&gt;&amp;");
    }
}
