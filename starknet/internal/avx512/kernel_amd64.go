//go:build !purego

package avx512

import "golang.org/x/sys/cpu"

func kernels() (list []Kernel) {
	if !cpu.X86.HasAVX512F || !cpu.X86.HasAVX512DQ {
		return nil
	}
	if cpu.X86.HasAVX512IFMA {
		list = append(list, IFMA)
	}
	return append(list, FMA)
}

// forward sets dx[i] to q[i].x-p[i].x, products[i] to acc times all dx before i, and acc to acc times all dx.
func (k Kernel) forward(p, q *Points, dx, products, acc *Block, n int) {
	if k == IFMA {
		forwardIFMA(p, q, dx, products, acc, n)
	} else {
		forwardFMA(p, q, dx, products, acc, n)
	}
}

// backward takes the inverse of what forward left in acc, and adds q to p.
func (k Kernel) backward(p, q *Points, dx, products, acc *Block, n int) {
	if k == IFMA {
		backwardIFMA(p, q, dx, products, acc, n)
	} else {
		backwardFMA(p, q, dx, products, acc, n)
	}
}

// permute adds the input to the first two lanes of the state, and permutes.
func (k Kernel) permute(state *[3]Block, input *[2]Block, rounds *uint64) {
	if k == IFMA {
		permuteIFMA(state, input, rounds)
	} else {
		permuteFMA(state, input, rounds)
	}
}

//go:noescape
func forwardIFMA(p, q *Points, dx, products, acc *Block, n int)

//go:noescape
func backwardIFMA(p, q *Points, dx, products, acc *Block, n int)

//go:noescape
func permuteIFMA(state *[3]Block, input *[2]Block, rounds *uint64)

//go:noescape
func forwardFMA(p, q *Points, dx, products, acc *Block, n int)

//go:noescape
func backwardFMA(p, q *Points, dx, products, acc *Block, n int)

//go:noescape
func permuteFMA(state *[3]Block, input *[2]Block, rounds *uint64)

//go:noescape
func gather(dst *Points, table *Point, digits *uint16, n int)
