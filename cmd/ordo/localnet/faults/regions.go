package faults

import (
	"slices"
	"time"
)

// regions are parts of the world with data centers, in the order of the rows of roundTrips: Virginia, California, Ireland, Frankfurt,
// Tokyo, Singapore, Sao Paulo.
var regions = [...]string{"us-east", "us-west", "eu-west", "eu-central", "ap-northeast", "ap-southeast", "sa-east"}

// roundTrips are milliseconds between them, averages that were measured between data centers of AWS in 2017:
// https://acomputerscientistlearnsaws.blogspot.com/2017/04/aws-regions.html. Within a region it is one.
var roundTrips = [len(regions)][len(regions)]int{
	{1, 73, 81, 89, 145, 217, 120},
	{73, 1, 153, 167, 103, 174, 193},
	{81, 153, 1, 20, 212, 239, 191},
	{89, 167, 20, 1, 237, 326, 195},
	{145, 103, 212, 237, 1, 74, 257},
	{217, 174, 239, 326, 74, 1, 328},
	{120, 193, 191, 195, 257, 328, 1},
}

// Regions are the names of the regions whose round trips are known.
func Regions() []string { return slices.Clone(regions[:]) }

// RoundTrip is the time from one region to another and back; 0 for a name that is not among Regions.
func RoundTrip(a, b string) time.Duration {
	i, j := slices.Index(regions[:], a), slices.Index(regions[:], b)
	if i < 0 || j < 0 {
		return 0
	}
	return time.Duration(roundTrips[i][j]) * time.Millisecond
}
