//! Whether a component fits this host: roles read from its exports, and every mismatch with the contract told at once.
//!
//! Done on the bytes, before anything is compiled. Exports that this host does not know are no fault.

use crate::Role;
use wac_types::{ItemKind, Package, Types, WorldId, validate_target};
use wit_parser::Resolve;

const PLUGIN: &str = include_str!("../../../wit/plugin/plugin.wit");
const HOST: &str = include_str!("../../../wit/host/host.wit");
const TRIGGER: &str = include_str!("../../../wit/trigger/trigger.wit");

const ROLES: [(Role, &str); 1] = [(Role::Trigger, "hostler:trigger/trigger@1.0.0-draft.1")];
/// Parts of WASI 0.2 that are linked, empty, for every guest.
const WASI: [&str; 6] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// The roles of the component, or a report of all that keeps it from having one.
pub(crate) fn check(component: &[u8]) -> Result<Vec<Role>, String> {
    let mut types = Types::default();
    let package = Package::from_bytes("plugin", None, component.to_vec(), &mut types)
        .map_err(|error| format!("  it cannot be read: {error:#}"))?;
    let exports: Vec<String> = types[package.ty()].exports.keys().cloned().collect();
    let exported = |name: &str| exports.iter().any(|export| export == name);
    let roles: Vec<Role> = ROLES.iter().filter(|(_, name)| exported(name)).map(|(role, _)| *role).collect();
    let world = world(&mut types).map_err(|error| format!("  the contract cannot be read: {error}"))?;
    let lines = match validate_target(&types, world, package.ty()) {
        Ok(()) => Vec::new(),
        Err(report) => lines(&report, &exports),
    };
    if lines.is_empty() { Ok(roles) } else { Err(lines.join("\n")) }
}

fn world(types: &mut Types) -> Result<WorldId, String> {
    let mut resolve = Resolve::default();
    resolve.push_str("plugin.wit", PLUGIN).map_err(chain)?;
    resolve.push_str("host.wit", HOST).map_err(chain)?;
    let package = resolve.push_str("trigger.wit", TRIGGER).map_err(chain)?;
    let bytes = wit_component::encode(&resolve, package).map_err(chain)?;
    let wit = Package::from_bytes("wit", None, bytes, types).map_err(chain)?;
    let exports = &types[wit.ty()].exports;
    let Some(ItemKind::Type(wac_types::Type::World(outer))) = exports.get("trigger-plugin") else {
        return Err("there is no world `trigger-plugin`".into());
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

fn lines(report: &wac_types::TargetValidationReport, exports: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, _) in report.missing_exports() {
        lines.push(format!("  it lacks the export `{name}`{}", other_version(name, exports)));
    }
    for name in report.imports_not_in_target() {
        let linked = WASI.iter().any(|prefix| name.starts_with(prefix)) && name.contains("@0.2.");
        if !linked {
            lines.push(format!("  it imports `{name}`, which this host does not have{}", advice(name)));
        }
    }
    for (name, kind, error) in report.mismatched_types() {
        lines.push(format!("  its {kind} `{name}` has another type: {error:#}"));
    }
    lines
}

fn other_version(name: &str, exports: &[String]) -> String {
    let interface = |name: &str| name.split('@').next().unwrap_or_default().to_string();
    let other = exports.iter().find(|export| interface(export) == interface(name));
    other.map(|export| format!("; it was built for `{export}`")).unwrap_or_default()
}

fn advice(name: &str) -> &'static str {
    if name.starts_with("wasi:http/") {
        "; build it without HTTP (for JavaScript: disable `http` and `fetch-event`)"
    } else if name.starts_with("hostler:") {
        "; it was built for another version of the contract"
    } else {
        ""
    }
}
