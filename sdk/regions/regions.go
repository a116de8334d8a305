// Package regions is the time that a message takes between parts of the world, for networks on one machine and in virtual time.
package regions

import (
	"slices"
	"time"
)

// names are parts of the world with data centers, in the order of the rows of roundTrips: Virginia, California, Ireland, Frankfurt,
// Tokyo, Singapore, Sao Paulo.
var names = [...]string{"us-east", "us-west", "eu-west", "eu-central", "ap-northeast", "ap-southeast", "sa-east"}

// roundTrips are milliseconds between them, averages that were measured between data centers of AWS in 2017:
// https://acomputerscientistlearnsaws.blogspot.com/2017/04/aws-regions.html. Within a region it is one.
var roundTrips = [len(names)][len(names)]int{
	{1, 73, 81, 89, 145, 217, 120},
	{73, 1, 153, 167, 103, 174, 193},
	{81, 153, 1, 20, 212, 239, 191},
	{89, 167, 20, 1, 237, 326, 195},
	{145, 103, 212, 237, 1, 74, 257},
	{217, 174, 239, 326, 74, 1, 328},
	{120, 193, 191, 195, 257, 328, 1},
}

// Names are the regions whose round trips are known.
func Names() []string { return slices.Clone(names[:]) }

// RoundTrip is the time from one region to another and back; 0 for a name that is not among Names.
func RoundTrip(a, b string) time.Duration {
	i, j := slices.Index(names[:], a), slices.Index(names[:], b)
	if i < 0 || j < 0 {
		return 0
	}
	return time.Duration(roundTrips[i][j]) * time.Millisecond
}
