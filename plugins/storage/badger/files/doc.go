// Package files reads the files of a Badger database without Badger: the manifest, the tables and the logs, each against
// its checksums. Badger itself panics on some damage, passes over other damage (a table whose index does not fit its
// checksum is left out, a log is cut at the first bad entry, a manifest at the first short record) and removes what it no
// longer refers to. So damage is looked for before Badger may touch anything.
//
// Nothing here writes, but Mend, which takes away what holds no data or was never finished.
package files
