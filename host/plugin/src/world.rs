//! Whether a component fits this host: roles read from its exports, and every mismatch with the contract told at once.
//!
//! Done on the bytes, before anything is compiled. Exports that this host does not know are no fault.

use crate::host::is_refused_http;
use crate::{Capability, Manifest, Role, contract};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use wac_types::{ItemKind, Package, Types, WorldId, validate_target};
use wit_parser::Resolve;

/// The contract, in the order in which the packages use each other.
const PACKAGES: [(&str, &str); 7] = [
    ("plugin.wit", include_str!("../../../wit/plugin/plugin.wit")),
    ("host.wit", include_str!("../../../wit/host/host.wit")),
    ("trigger.wit", include_str!("../../../wit/trigger/trigger.wit")),
    ("builder.wit", include_str!("../../../wit/builder/builder.wit")),
    ("extension.wit", include_str!("../../../wit/extension/extension.wit")),
    ("renderer.wit", include_str!("../../../wit/renderer/renderer.wit")),
    ("relay.wit", include_str!("../../../wit/relay/relay.wit")),
];

/// The interface that makes a component a plugin of a role.
pub(crate) const ROLES: [(Role, &str); 6] = [
    (Role::Trigger, "hostler:trigger/trigger@1.0.0"),
    (Role::Inbound, "hostler:extension/inbound@1.0.0-draft.1"),
    (Role::Outbound, "hostler:extension/outbound@1.0.0-draft.1"),
    (Role::Builder, "hostler:builder/builder@1.0.0"),
    (Role::Renderer, "hostler:renderer/renderer@1.0.0-draft.1"),
    (Role::Relay, "hostler:relay/relay@1.0.0-draft.1"),
];

/// The contract before 1.0.0, which triggers may still speak.
const DRAFT_1: &str = "include hostler:host/imports@1.0.0-draft.1;
    export hostler:plugin/manifest@1.0.0-draft.1;";

/// What a component may import of us, whatever its role.
const IMPORTS: &str = "include hostler:host/imports@1.0.0;
    import hostler:builder/files@1.0.0;
    import hostler:renderer/templates@1.0.0-draft.1;
    export hostler:plugin/manifest@1.0.0;";

/// Parts of WASI 0.2 that are linked, empty, for every guest.
const WASI: [&str; 6] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// What a component shows of itself without being run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Face {
    pub(crate) roles: Vec<Role>,
    /// Names of its imports, as they stand in the component.
    pub(crate) imports: BTreeSet<String>,
    pub(crate) exports: BTreeSet<String>,
}

/// The roles of the component and what it imports, or a report of all that keeps it from having a role.
pub(crate) fn check(component: &[u8]) -> Result<Face, String> {
    let mut types = Types::default();
    let package = Package::from_bytes("plugin", None, component.to_vec(), &mut types)
        .map_err(|error| format!("  it cannot be read: {error:#}"))?;
    let exports: BTreeSet<String> = types[package.ty()].exports.keys().cloned().collect();
    let imports: BTreeSet<String> = types[package.ty()].imports.keys().cloned().collect();
    let is_draft = exports.contains(contract::MANIFEST_DRAFT_1) && exports.contains(contract::TRIGGER_DRAFT_1);
    let draft = [(Role::Trigger, contract::TRIGGER_DRAFT_1)];
    let known: &[(Role, &str)] = if is_draft { &draft } else { &ROLES };
    let found: Vec<_> = known.iter().filter(|(_, name)| exports.contains(*name)).collect();
    let wanted: Vec<&str> = found.iter().map(|(_, name)| *name).collect();
    let world = world(&mut types, if is_draft { DRAFT_1 } else { IMPORTS }, &wanted)
        .map_err(|error| format!("  the contract cannot be read: {error}"))?;
    let mut lines = if found.is_empty() { vec![no_role(&exports)] } else { Vec::new() };
    if let Err(report) = validate_target(&types, world, package.ty()) {
        lines.extend(told(&report, &exports));
    }
    if lines.is_empty() {
        Ok(Face { roles: found.into_iter().map(|(role, _)| *role).collect(), imports, exports })
    } else {
        Err(lines.join("\n"))
    }
}

impl Face {
    /// Before 1.0.0 a plugin did not have to say that it wants a memory; what it imports says it for it.
    pub(crate) fn asks_without_words(&self, manifest: &mut Manifest) {
        if self.exports.contains(contract::MANIFEST_DRAFT_1)
            && self.imports.iter().any(|import| import.starts_with("hostler:host/kv@"))
        {
            manifest.capabilities.push(Capability::Kv { reason: "It was built before plugins gave reasons.".into() });
        }
    }
}

fn world(types: &mut Types, imports: &str, roles: &[&str]) -> Result<WorldId, String> {
    let mut resolve = Resolve::default();
    for (name, text) in contract::PACKAGES_DRAFT_1.into_iter().chain(PACKAGES) {
        resolve.push_str(name, text).map_err(chain)?;
    }
    let exports: String = roles.iter().map(|name| format!("export {name};\n")).collect();
    let text = format!("package hostler:checked;\nworld checked {{ {imports}\n{exports} }}");
    let package = resolve.push_str("checked.wit", &text).map_err(chain)?;
    let bytes = wit_component::encode(&resolve, package).map_err(chain)?;
    let wit = Package::from_bytes("wit", None, bytes, types).map_err(chain)?;
    let exports = &types[wit.ty()].exports;
    let Some(ItemKind::Type(wac_types::Type::World(outer))) = exports.get("checked") else {
        return Err("its world is not there".into());
    };
    // The encoded package holds, for each world, a component type whose only export is that world.
    match types[*outer].exports.values().next() {
        Some(ItemKind::Component(world)) => Ok(*world),
        Some(_) | None => Err("the world is not encoded as one".into()),
    }
}

/// With its causes, in one line.
fn chain(error: impl std::fmt::Display) -> String {
    format!("{error:#}")
}

fn no_role(exports: &BTreeSet<String>) -> String {
    let other = ROLES.iter().find_map(|(_, name)| other_version(name, exports).map(|found| (name, found)));
    match other {
        Some((name, found)) => format!("  it lacks the export `{name}`; it was built for `{found}`"),
        None => {
            let names: Vec<_> = ROLES.iter().map(|(_, name)| format!("`{name}`")).collect();
            format!("  it exports no role; a plugin exports one or more of {}", names.join(", "))
        }
    }
}

fn told(report: &wac_types::TargetValidationReport, exports: &BTreeSet<String>) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, _) in report.missing_exports() {
        let other = other_version(name, exports).map(|found| format!("; it was built for `{found}`"));
        lines.push(format!("  it lacks the export `{name}`{}", other.unwrap_or_default()));
    }
    for name in report.imports_not_in_target() {
        let linked = WASI.iter().any(|prefix| name.starts_with(prefix)) && name.contains("@0.2.");
        if !linked && !is_refused_http(name) {
            lines.push(format!("  it imports `{name}`, which this host does not have{}", advice(name)));
        }
    }
    for (name, kind, error) in report.mismatched_types() {
        lines.push(format!("  its {kind} `{name}` has another type: {error:#}"));
    }
    lines
}

/// The same interface in another version.
fn other_version<'a>(name: &str, exports: &'a BTreeSet<String>) -> Option<&'a str> {
    let interface = |name: &str| name.split('@').next().unwrap_or_default().to_string();
    exports.iter().find(|export| interface(export) == interface(name)).map(String::as_str)
}

fn advice(name: &str) -> &'static str {
    if name.starts_with("wasi:http/") {
        "; `wasi:http/types` and `outgoing-handler` of 0.2 are there, and refuse; leave out the rest"
    } else if name.starts_with("hostler:") {
        "; it was built for another version of the contract"
    } else {
        ""
    }
}
