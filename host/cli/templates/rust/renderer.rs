//! The plugin `__NAME__`, a renderer: answers what booting machines ask for.

wit_bindgen::generate!({ path: "wit", world: "__WORLD__", generate_all });

use exports::hostler::plugin::manifest;
use exports::hostler::renderer::renderer::{Content, Guest, Rendered, Request};
use hostler::plugin::types::{Attribute, Failure, Refusal};
use hostler::renderer::templates;

struct Plugin;

export!(Plugin);

impl manifest::Guest for Plugin {
    fn describe() -> String {
        include_str!("../manifest.json").into()
    }
}

impl Guest for Plugin {
    fn render(request: Request) -> Result<Rendered, Failure> {
        let template = match templates::read(request.path.trim_start_matches('/')) {
            Ok(bytes) => bytes,
            Err(Refusal::Missing(_)) => return Ok(text(404, "there is no such template\n".into())),
            Err(refusal) => return Err(Failure::Failed(format!("no template can be read: {refusal:?}"))),
        };
        let mut filled = String::from_utf8(template).map_err(|_| Failure::Failed("the template is no text".into()))?;
        let machine = request.machine.map(|machine| vec![("id", machine.id), ("mac", machine.mac)]);
        for (name, value) in machine.into_iter().flatten() {
            filled = filled.replace(&format!("{{{{{name}}}}}"), &value);
        }
        // Addresses of the host; the tokens that belong to this machine are already in them.
        for url in request.urls {
            filled = filled.replace(&format!("{{{{{}}}}}", url.name), &url.value);
        }
        Ok(text(200, filled))
    }
}

fn text(status: u16, text: String) -> Rendered {
    let headers = vec![Attribute { name: "content-type".into(), value: "text/plain; charset=utf-8".into() }];
    Rendered { status, headers, content: Content::Bytes(text.into_bytes()), extra: Vec::new() }
}
