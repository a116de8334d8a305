// Arithmetic on eight field elements at a time, radix 2^52. The prime is 1 + 17*2^192 + 2^251; its limbs are 1, 0, 0,
// 17*2^36 and 2^43.

// Constants, set by CONSTANTS and kept all along.
#define MASK52 Z31
#define LIMB3  Z30 // 17*2^36
#define LIMB4  Z29 // 2^43
#define MASK43 Z28
#define ONE    Z27
#define ZERO   Z26

#define SPREAD(value, z) MOVQ $value, AX; VPBROADCASTQ AX, z

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

// CARRY brings columns, which may be negative while the number is not, back to 52 bits, and moves them to d0..d4.
#define CARRY(r0, r1, r2, r3, r4, d0, d1, d2, d3, d4) \
	VPSRAQ $52, r0, Z17;    \
	VPANDQ MASK52, r0, d0;  \
	VPADDQ Z17, r1, r1;     \
	VPSRAQ $52, r1, Z17;    \
	VPANDQ MASK52, r1, d1;  \
	VPADDQ Z17, r2, r2;     \
	VPSRAQ $52, r2, Z17;    \
	VPANDQ MASK52, r2, d2;  \
	VPADDQ Z17, r3, r3;     \
	VPSRAQ $52, r3, Z17;    \
	VPANDQ MASK52, r3, d3;  \
	VPADDQ Z17, r4, d4

// REDUCE makes any columns a number between 0 and 2p (and a 2^40th of p more), in d0..d4. What is above bit 251 (q, signed)
// is cut off and q*(17*2^192+1) subtracted; then the prime is added, so that the result is not negative.
#define REDUCE(r0, r1, r2, r3, r4, d0, d1, d2, d3, d4) \
	VPSRAQ $43, r4, Z16;       \
	VPANDQ MASK43, r4, r4;     \
	VPSUBQ Z16, r0, r0;        \
	VPSLLQ $36, Z16, Z17;      \
	VPSLLQ $40, Z16, Z16;      \
	VPSUBQ Z17, r3, r3;        \
	VPSUBQ Z16, r3, r3;        \
	VPADDQ ONE, r0, r0;        \
	VPADDQ LIMB3, r3, r3;      \
	VPADDQ LIMB4, r4, r4;      \
	CARRY(r0, r1, r2, r3, r4, d0, d1, d2, d3, d4)

#define LOAD(at, reg, d0, d1, d2, d3, d4) \
	VMOVDQU64 (at+0)(reg), d0;   \
	VMOVDQU64 (at+64)(reg), d1;  \
	VMOVDQU64 (at+128)(reg), d2; \
	VMOVDQU64 (at+192)(reg), d3; \
	VMOVDQU64 (at+256)(reg), d4

#define STORE(r0, r1, r2, r3, r4, at, reg) \
	VMOVDQU64 r0, (at+0)(reg);   \
	VMOVDQU64 r1, (at+64)(reg);  \
	VMOVDQU64 r2, (at+128)(reg); \
	VMOVDQU64 r3, (at+192)(reg); \
	VMOVDQU64 r4, (at+256)(reg)

// SUBTRACT takes a number in memory away from columns.
#define SUBTRACT(at, reg, r0, r1, r2, r3, r4) \
	VPSUBQ (at+0)(reg), r0, r0;   \
	VPSUBQ (at+64)(reg), r1, r1;  \
	VPSUBQ (at+128)(reg), r2, r2; \
	VPSUBQ (at+192)(reg), r3, r3; \
	VPSUBQ (at+256)(reg), r4, r4
