// Package conformance holds the tests that every plugin has to pass: one exported map for each stage, and one for what all
// plugins share.
// An author runs them over his own plugin in a few lines, in any language:
//
//	func TestConformance(t *testing.T) {
//		subject := conformance.Process("./my-plugin")
//		conformance.RunBase(t, subject)
//		conformance.RunOrdering(t, subject)
//	}
//
// A Subject is started anew for each test. Process starts an executable the way a host does, but with nothing of
// go-plugin in between: what is tested is the wire. InProcess serves an sdk.Service without a process; the tests of the
// handshake and of signals then have nothing to test and are skipped.
package conformance
