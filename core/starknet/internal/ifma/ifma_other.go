//go:build !amd64 || purego

package ifma

// Available reports whether this machine has the instructions.
func Available() bool { return false }

func forward(p, q *Points, dx, products, acc *Block, n int)    { panic("ifma: not on this machine") }
func backward(p, q *Points, dx, products, acc *Block, n int)   { panic("ifma: not on this machine") }
func gather(dst *Points, table *Point, digits *uint16, n int)  { panic("ifma: not on this machine") }
func permute(state *[3]Block, input *[2]Block, rounds *uint64) { panic("ifma: not on this machine") }
