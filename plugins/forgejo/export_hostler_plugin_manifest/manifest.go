// Package export_hostler_plugin_manifest says what the plugin forgejo is.
package export_hostler_plugin_manifest

import (
	_ "embed"
	"runtime/debug"
)

//go:embed manifest.json
var manifest string

func init() {
	// The collector reads the clock at a moment when a component may not call out, and the call would trap. Each call
	// has an instance of its own, so that what it leaves is gone with it.
	debug.SetGCPercent(-1)
}

func Describe() string {
	return manifest
}
