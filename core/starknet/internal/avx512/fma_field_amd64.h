// Multiplication with the fused multiply-add of doubles, for machines with AVX-512 but without IFMA. A product of two
// numbers of 52 bits is split into halves in two of them: added to 2^104 and rounded towards zero, its upper half is what
// the significand holds; that taken away again, and the product added once more, now exactly, leaves the lower half. The
// halves are used as integers, with the bits of the exponent above them; those add up to constants, and columns start with
// their negatives.

#include "limbs_amd64.h"

// Constants, set by CONSTANTS and kept all along.
#define UPPER Z30 // 2^104
#define LOWER Z29 // 2^104 + 2^52

#define CONSTANTS \
	SPREAD(0xfffffffffffff, MASK52);   \
	SPREAD(0x4670000000000000, UPPER); \
	SPREAD(0x4670000000000001, LOWER)

// The rest is read from memory: there is no register left.
#define LIMB3  k<>+80(SB)
#define LIMB4  k<>+88(SB)
#define MASK43 k<>+96(SB)
#define ONE    k<>+104(SB)

#define AND_CONST(k, r) VPANDQ.BCST k, r, r
#define ADD_CONST(k, r) VPADDQ.BCST k, r, r

// START is what column k starts with: the negative of the exponents of all halves that are added to it (0x433 for a lower,
// 0x467 for an upper half, modulo 2^12), and, from column 5 on, the limbs of the prime, so that the result is not negative.
#define START(lower, upper, limb) $(limb-((0x433*lower+0x467*upper)<<52))

DATA k<>+0(SB)/8, START(1, 0, 0)
DATA k<>+8(SB)/8, START(2, 1, 0)
DATA k<>+16(SB)/8, START(3, 2, 0)
DATA k<>+24(SB)/8, START(4, 3, 0)
DATA k<>+32(SB)/8, START(5, 4, 0)
DATA k<>+40(SB)/8, START(4, 5, 1)
DATA k<>+48(SB)/8, START(3, 4, 0)
DATA k<>+56(SB)/8, START(2, 3, 0)
DATA k<>+64(SB)/8, START(1, 2, 0x11000000000)
DATA k<>+72(SB)/8, START(0, 1, 0x80000000000)
DATA k<>+80(SB)/8, $0x11000000000 // 17*2^36
DATA k<>+88(SB)/8, $0x80000000000 // 2^43
DATA k<>+96(SB)/8, $0x7ffffffffff
DATA k<>+104(SB)/8, $1
GLOBL k<>(SB), RODATA|NOPTR, $112

// PRODUCT adds the halves of a*b to two columns.
#define PRODUCT(a, b, lower, upper) \
	VMOVAPD            UPPER, Z16;         \
	VFMADD231PD.RZ_SAE a, b, Z16;          \
	VSUBPD             Z16, LOWER, Z17;    \
	VFMADD231PD        a, b, Z17;          \
	VPADDQ             Z16, upper, upper;  \
	VPADDQ             Z17, lower, lower

// SHIFTED takes n*2^36 away from two columns.
#define SHIFTED(n, lower, upper) \
	VPSRLQ $16, n, Z16;           \
	VPSLLQ $36, n, n;             \
	VPANDQ MASK52, n, n;          \
	VPSUBQ Z16, upper, upper;     \
	VPSUBQ n, lower, lower

// STEP adds A*b to the columns t0..t4, where A is Z24..Z28, as doubles, and b one limb, in a register or in memory; then it
// takes the multiple m of the prime away that leaves t0 a multiple of 2^52, and carries t0: the columns are t1..t5
// afterwards. m is t0 modulo 2^52, for the lowest limb of the prime is 1.
//
// The rest of the prime is (2^59+17)*2^192; of m*2^59, the 2^7 belongs to the next step, which finds it in t5. start is
// where t5 starts from.
#define STEP(b, t0, t1, t2, t3, t4, t5, start) \
	VCVTUQQ2PD b, Z23;            \
	PRODUCT(Z24, Z23, t0, t1);    \
	PRODUCT(Z25, Z23, t1, t2);    \
	PRODUCT(Z26, Z23, t2, t3);    \
	PRODUCT(Z27, Z23, t3, t4);    \
	VPANDQ MASK52, t0, Z16;       \
	VPSRAQ $52, t0, t0;           \
	VPSLLQ $4, Z16, Z17;          \
	VPADDQ t0, t1, t1;            \
	VPADDQ Z16, t5, t5;           \
	VPSLLQ $7, Z16, t0;           \
	VPADDQ t5, Z17, Z17;          \
	VPBROADCASTQ k<>+start(SB), t5; \
	SHIFTED(Z17, t3, t4);         \
	PRODUCT(Z28, Z23, t4, t5)

// MUL multiplies A, in Z0..Z4, by the limbs b0..b4. The product is in Z15, Z10, Z11, Z12, Z13, not carried. It is not above
// p and a 512th of the product of the operands in units of p.
#define MUL(b0, b1, b2, b3, b4) \
	VCVTUQQ2PD   Z0, Z24; \
	VCVTUQQ2PD   Z1, Z25; \
	VCVTUQQ2PD   Z2, Z26; \
	VCVTUQQ2PD   Z3, Z27; \
	VCVTUQQ2PD   Z4, Z28; \
	VPBROADCASTQ k<>+0(SB), Z10;  \
	VPBROADCASTQ k<>+8(SB), Z11;  \
	VPBROADCASTQ k<>+16(SB), Z12; \
	VPBROADCASTQ k<>+24(SB), Z13; \
	VPBROADCASTQ k<>+32(SB), Z14; \
	VPXORQ       Z15, Z15, Z15;   \
	STEP(b0, Z10, Z11, Z12, Z13, Z14, Z15, 40); \
	STEP(b1, Z11, Z12, Z13, Z14, Z15, Z10, 48); \
	STEP(b2, Z12, Z13, Z14, Z15, Z10, Z11, 56); \
	STEP(b3, Z13, Z14, Z15, Z10, Z11, Z12, 64); \
	STEP(b4, Z14, Z15, Z10, Z11, Z12, Z13, 72); \
	SHIFTED(Z14, Z12, Z13)
