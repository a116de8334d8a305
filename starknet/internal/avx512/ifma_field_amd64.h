// Multiplication with AVX-512 IFMA, which adds the lower or the upper half of a product of 52 bits to a column.

#include "limbs_amd64.h"

// Constants, set by CONSTANTS and kept all along.
#define LIMB3  Z30 // 17*2^36
#define LIMB4  Z29 // 2^43
#define MASK43 Z28
#define ONE    Z27
#define ZERO   Z26

#define AND_CONST(k, r) VPANDQ k, r, r
#define ADD_CONST(k, r) VPADDQ k, r, r

#define CONSTANTS \
	SPREAD(0xfffffffffffff, MASK52);   \
	SPREAD(0x11000000000, LIMB3);      \
	SPREAD(0x80000000000, LIMB4);      \
	SPREAD(0x7ffffffffff, MASK43);     \
	SPREAD(1, ONE);                    \
	VPXORQ ZERO, ZERO, ZERO

// STEP adds A*b to the columns t0..t4, where A is Z0..Z4 and b one limb, in a register or in memory; then it adds the
// multiple m of the prime that makes t0 a multiple of 2^52, and carries t0 away: the columns are t1..t5 afterwards.
// m is -t0 modulo 2^52, for the lowest limb of the prime is 1; the products look at 52 bits of it only.
#define STEP(b, t0, t1, t2, t3, t4, t5) \
	VPMADD52LUQ b, Z0, t0;     \
	VPXORQ      t5, t5, t5;    \
	VPMADD52LUQ b, Z1, t1;     \
	VPMADD52LUQ b, Z2, t2;     \
	VPSUBQ      t0, ZERO, Z16; \
	VPADDQ      MASK52, t0, Z17; \
	VPMADD52LUQ b, Z3, t3;     \
	VPMADD52LUQ b, Z4, t4;     \
	VPSRLQ      $52, Z17, Z17; \
	VPMADD52HUQ b, Z0, t1;     \
	VPMADD52HUQ b, Z1, t2;     \
	VPMADD52HUQ b, Z2, t3;     \
	VPMADD52HUQ b, Z3, t4;     \
	VPMADD52HUQ b, Z4, t5;     \
	VPADDQ      Z17, t1, t1;   \
	VPMADD52LUQ LIMB3, Z16, t3; \
	VPMADD52HUQ LIMB3, Z16, t4; \
	VPMADD52LUQ LIMB4, Z16, t4; \
	VPMADD52HUQ LIMB4, Z16, t5

// MUL multiplies A by the limbs b0..b4. The product is in Z15, Z10, Z11, Z12, Z13, not carried. It is below p, and a 512th
// of the product of the operands in units of p.
#define MUL(b0, b1, b2, b3, b4) \
	VPXORQ Z10, Z10, Z10; \
	VPXORQ Z11, Z11, Z11; \
	VPXORQ Z12, Z12, Z12; \
	VPXORQ Z13, Z13, Z13; \
	VPXORQ Z14, Z14, Z14; \
	STEP(b0, Z10, Z11, Z12, Z13, Z14, Z15); \
	STEP(b1, Z11, Z12, Z13, Z14, Z15, Z10); \
	STEP(b2, Z12, Z13, Z14, Z15, Z10, Z11); \
	STEP(b3, Z13, Z14, Z15, Z10, Z11, Z12); \
	STEP(b4, Z14, Z15, Z10, Z11, Z12, Z13)

#define SQUARE MUL(Z0, Z1, Z2, Z3, Z4)
#define AGAIN(b0, b1, b2, b3, b4) MUL(b0, b1, b2, b3, b4)
