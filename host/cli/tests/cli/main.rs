//! The real binary, as a person or a script meets it: temporary home, cleared environment, output and exit status.

mod authoring;
mod backup;
mod build;
mod containers;
mod demo;
mod doctor;
mod every;
mod host;
mod installs;
mod isolation;
mod keep;
mod local;
mod offline;
mod plugins;
mod registries;
mod serve;
mod support;

#[path = "../../../plugin/tests/support/built.rs"]
mod components;

#[path = "../../../engine/tests/support/containers.rs"]
mod container_engine;

#[path = "../../../plugin/tests/support/registry.rs"]
mod registry;

#[path = "../../../plugin/tests/oci/fake.rs"]
#[allow(dead_code, reason = "the tests of the registry client use the rest")]
mod fake;

#[path = "../../../plugin/tests/oci/materials.rs"]
#[allow(dead_code, reason = "the tests of the registry client use the rest")]
mod materials;

#[path = "../../../plugin/tests/support/small_disk.rs"]
mod small_disk;
