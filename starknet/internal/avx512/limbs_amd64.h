// Eight field elements at a time, radix 2^52: what all kernels have in common. A kernel says how its
// constants are read, AND_CONST and ADD_CONST, and brings MUL; SQUARE, which multiplies A, in Z0..Z4, by itself, and may
// leave anything in Z5..Z9; and AGAIN, which multiplies the same A as the SQUARE before it. The prime is 1 + 17*2^192 + 2^251; its limbs are 1, 0, 0, 17*2^36
// and 2^43.

#define MASK52 Z31 // kept all along

#define SPREAD(value, z) MOVQ $value, AX; VPBROADCASTQ AX, z

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
	AND_CONST(MASK43, r4);     \
	VPSUBQ Z16, r0, r0;        \
	VPSLLQ $36, Z16, Z17;      \
	VPSLLQ $40, Z16, Z16;      \
	VPSUBQ Z17, r3, r3;        \
	VPSUBQ Z16, r3, r3;        \
	ADD_CONST(ONE, r0);        \
	ADD_CONST(LIMB3, r3);      \
	ADD_CONST(LIMB4, r4);      \
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

// The coordinates of Points.
#define X 0
#define Y 320
