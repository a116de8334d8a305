//go:build !linux

package badger

func letGo(_, _ uintptr) {}
