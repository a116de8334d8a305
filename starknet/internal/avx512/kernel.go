package avx512

// Kernel is one way to multiply.
type Kernel int

const (
	None Kernel = iota // this machine has no AVX-512
	IFMA               // integers of 52 bits, Intel since Ice Lake and AMD since Zen 4
	FMA                // doubles, where there is AVX-512 without IFMA
)

func (k Kernel) String() string { return [...]string{"none", "ifma", "fma"}[k] }

// Kernels are those that this machine can run, the fastest first.
func Kernels() []Kernel { return kernels() }

var best = append(kernels(), None)[0]

// Best is the fastest kernel of this machine, or None.
func Best() Kernel { return best }
