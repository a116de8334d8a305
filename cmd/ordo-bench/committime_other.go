//go:build !unix

package main

import "time"

// processorTime is not known here: the clock stands in.
func processorTime() time.Duration { return time.Duration(time.Now().UnixNano()) }
