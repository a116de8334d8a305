//go:build !purego

package ifma

import "golang.org/x/sys/cpu"

// Available reports whether this machine has the instructions.
func Available() bool { return cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512IFMA }

// forward sets dx[i] to q[i].x-p[i].x, products[i] to acc times all dx before i, and acc to acc times all dx.
//
//go:noescape
func forward(p, q *Points, dx, products, acc *Block, n int)

// backward takes the inverse of what forward left in acc, and adds q to p.
//
//go:noescape
func backward(p, q *Points, dx, products, acc *Block, n int)

//go:noescape
func gather(dst *Points, table *Point, digits *uint16, n int)

// permute adds the input to the first two lanes of the state, and permutes.
//
//go:noescape
func permute(state *[3]Block, input *[2]Block, rounds *uint64)
