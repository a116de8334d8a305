//go:build !amd64 || purego

package avx512

func kernels() []Kernel { return nil }

const absent = "avx512: not on this machine"

func (Kernel) forward(p, q *Points, dx, products, acc *Block, n int)    { panic(absent) }
func (Kernel) backward(p, q *Points, dx, products, acc *Block, n int)   { panic(absent) }
func (Kernel) permute(state *[3]Block, input *[2]Block, rounds *uint64) { panic(absent) }
func gather(dst *Points, table *Point, digits *uint16, n int)           { panic(absent) }
