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
#define LIMB3  k<>+144(SB)
#define LIMB4  k<>+152(SB)
#define MASK43 k<>+160(SB)
#define ONE    k<>+168(SB)

#define AND_CONST(k, r) VPANDQ.BCST k, r, r
#define ADD_CONST(k, r) VPADDQ.BCST k, r, r

// START is what a column starts with: the negative of the exponents of all halves that are added to it (0x433 for a lower,
// 0x467 for an upper half, modulo 2^12). From column 4 on that is on top of the limbs of the prime, times 2^260, so that
// the result is not negative; the lowest of them is moved down a column, for all to be even. HALF is for columns that are
// doubled later.
#define EXPONENTS(lower, upper) (0x433*lower+0x467*upper)
#define START(lower, upper, limb) $(limb-(EXPONENTS(lower, upper)<<52))
#define HALF(lower, upper, limb) $(limb/2-(EXPONENTS(lower, upper)<<51))

DATA k<>+0(SB)/8, START(1, 0, 0)
DATA k<>+8(SB)/8, START(2, 1, 0)
DATA k<>+16(SB)/8, START(3, 2, 0)
DATA k<>+24(SB)/8, START(4, 3, 0)
DATA k<>+32(SB)/8, START(5, 4, 0x10000000000000)
DATA k<>+40(SB)/8, START(4, 5, 0)
DATA k<>+48(SB)/8, START(3, 4, 0)
DATA k<>+56(SB)/8, START(2, 3, 0)
DATA k<>+64(SB)/8, START(1, 2, 0x11000000000)
DATA k<>+72(SB)/8, START(0, 1, 0x80000000000)
DATA k<>+80(SB)/8, HALF(2, 1, 0)
DATA k<>+88(SB)/8, HALF(3, 2, 0)
DATA k<>+96(SB)/8, HALF(4, 3, 0)
DATA k<>+104(SB)/8, HALF(5, 4, 0x10000000000000)
DATA k<>+112(SB)/8, HALF(4, 5, 0)
DATA k<>+120(SB)/8, HALF(3, 4, 0)
DATA k<>+128(SB)/8, HALF(2, 3, 0)
DATA k<>+136(SB)/8, HALF(1, 2, 0x11000000000)
DATA k<>+144(SB)/8, $0x11000000000 // 17*2^36
DATA k<>+152(SB)/8, $0x80000000000 // 2^43
DATA k<>+160(SB)/8, $0x7ffffffffff
DATA k<>+168(SB)/8, $1
GLOBL k<>(SB), RODATA|NOPTR, $176

#define BEGIN(at, t) VPBROADCASTQ k<>+at(SB), t

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

// FOLD takes the multiple m of the prime away that leaves t0 a multiple of 2^52, and carries t0 to t1. m is t0 modulo 2^52,
// for the lowest limb of the prime is 1. The rest of the prime is (2^59+17)*2^192; of m*2^59, the 2^7 belongs to the next
// column's FOLD, which has it from t0: before holds that of the column before.
#define FOLD(before, t0, t1, t3, t4) \
	VPANDQ MASK52, t0, Z16;         \
	VPSRAQ $52, t0, t0;             \
	VPSLLQ $4, Z16, Z17;            \
	VPADDQ t0, t1, t1;              \
	VPADDQ Z16, before, before;     \
	VPSLLQ $7, Z16, t0;             \
	VPADDQ before, Z17, Z17;        \
	SHIFTED(Z17, t3, t4)

// STEP adds A*b to the columns t0..t4, where A is Z24..Z28, as doubles, and b one limb, in a register or in memory; then it
// folds t0: the columns are t1..t5 afterwards. t5 is the column folded before, and starts anew.
#define STEP(b, t0, t1, t2, t3, t4, t5, start) \
	VCVTUQQ2PD b, Z23;            \
	PRODUCT(Z24, Z23, t0, t1);    \
	PRODUCT(Z25, Z23, t1, t2);    \
	PRODUCT(Z26, Z23, t2, t3);    \
	PRODUCT(Z27, Z23, t3, t4);    \
	FOLD(t5, t0, t1, t3, t4);     \
	BEGIN(start, t5);             \
	PRODUCT(Z28, Z23, t4, t5)

#define DOUBLES \
	VCVTUQQ2PD Z0, Z24; \
	VCVTUQQ2PD Z1, Z25; \
	VCVTUQQ2PD Z2, Z26; \
	VCVTUQQ2PD Z3, Z27; \
	VCVTUQQ2PD Z4, Z28

// MUL multiplies A, in Z0..Z4, by the limbs b0..b4. The product is in Z15, Z10, Z11, Z12, Z13, not carried. It is not above
// p and a 512th of the product of the operands in units of p.
#define MUL(b0, b1, b2, b3, b4) \
	DOUBLES; \
	AGAIN(b0, b1, b2, b3, b4)

#define AGAIN(b0, b1, b2, b3, b4) \
	BEGIN(0, Z10);  \
	BEGIN(8, Z11);  \
	BEGIN(16, Z12); \
	BEGIN(24, Z13); \
	BEGIN(32, Z14); \
	VPXORQ Z15, Z15, Z15; \
	STEP(b0, Z10, Z11, Z12, Z13, Z14, Z15, 40); \
	STEP(b1, Z11, Z12, Z13, Z14, Z15, Z10, 48); \
	STEP(b2, Z12, Z13, Z14, Z15, Z10, Z11, 56); \
	STEP(b3, Z13, Z14, Z15, Z10, Z11, Z12, 64); \
	STEP(b4, Z14, Z15, Z10, Z11, Z12, Z13, 72); \
	SHIFTED(Z14, Z12, Z13)

#define TWICE(t) VPADDQ t, t, t

// SQUARE is MUL(Z0, Z1, Z2, Z3, Z4) with every product of two different limbs made once and its columns doubled. The
// columns are Z5..Z9, Z15, Z10..Z13; each is folded as soon as it has all its products.
#define SQUARE \
	DOUBLES; \
	BEGIN(0, Z5);     \
	BEGIN(80, Z6);    \
	BEGIN(88, Z7);    \
	BEGIN(96, Z8);    \
	BEGIN(104, Z9);   \
	BEGIN(112, Z15);  \
	BEGIN(120, Z10);  \
	BEGIN(128, Z11);  \
	BEGIN(136, Z12);  \
	BEGIN(72, Z13);   \
	VPXORQ Z14, Z14, Z14; \
	PRODUCT(Z24, Z25, Z6, Z7);   \
	PRODUCT(Z24, Z26, Z7, Z8);   \
	PRODUCT(Z24, Z27, Z8, Z9);   \
	PRODUCT(Z25, Z26, Z8, Z9);   \
	PRODUCT(Z24, Z28, Z9, Z15);  \
	PRODUCT(Z25, Z27, Z9, Z15);  \
	TWICE(Z6); \
	TWICE(Z7); \
	TWICE(Z8); \
	TWICE(Z9); \
	PRODUCT(Z24, Z24, Z5, Z6);   \
	PRODUCT(Z25, Z25, Z7, Z8);   \
	FOLD(Z14, Z5, Z6, Z8, Z9);   \
	PRODUCT(Z25, Z28, Z15, Z10); \
	PRODUCT(Z26, Z27, Z15, Z10); \
	TWICE(Z15); \
	PRODUCT(Z26, Z26, Z9, Z15);  \
	FOLD(Z5, Z6, Z7, Z9, Z15);   \
	PRODUCT(Z26, Z28, Z10, Z11); \
	TWICE(Z10); \
	FOLD(Z6, Z7, Z8, Z15, Z10);  \
	PRODUCT(Z27, Z28, Z11, Z12); \
	TWICE(Z11); \
	TWICE(Z12); \
	PRODUCT(Z27, Z27, Z10, Z11); \
	FOLD(Z7, Z8, Z9, Z10, Z11);  \
	PRODUCT(Z28, Z28, Z12, Z13); \
	FOLD(Z8, Z9, Z15, Z11, Z12); \
	SHIFTED(Z9, Z12, Z13)
