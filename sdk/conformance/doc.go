// Package conformance holds the tests that every plugin of a stage must pass, whatever language it is written in: one map
// of tests a stage, run against clients of the plugin under test.
package conformance
