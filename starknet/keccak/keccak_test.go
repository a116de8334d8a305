package keccak

import "testing"

func TestSelectors(t *testing.T) {
	for name, want := range map[string]string{
		"transfer":       "0x83afd3f4caedc6eebf44246fe54e38c95e3179a5ec9ea81740eca5b482d12e",
		"Transfer":       "0x99cd8bde557814842a3121e8ddfd433a539b8c9f14bf31ebf108d12e6196e9",
		"__execute__":    "0x15d40a3d6ca2ac30f4031e42be28da9b056fef9bb7357ac5e85627ee876e5ad",
		"constructor":    "0x28ffe4ff0f226a9107253e17a904099aa4f63a02a5621de0576e5aa71bc5194",
		"__default__":    "0x0",
		"__l1_default__": "0x0",
	} {
		if got := Selector(name).Hex(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := Sum(nil).Hex(); got != "0x1d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470" {
		t.Error("empty", got)
	}
}
