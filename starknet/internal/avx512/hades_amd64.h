// CUBE multiplies A twice by itself; the result is not carried.
#define CUBE \
	SQUARE;                                              \
	CARRY(Z15, Z10, Z11, Z12, Z13, Z5, Z6, Z7, Z8, Z9);  \
	AGAIN(Z5, Z6, Z7, Z8, Z9)

// ABSORB adds a constant, at k, to the limbs of a number.
#define ABSORB(k, r0, r1, r2, r3, r4) \
	VPADDQ.BCST (k+0)(SI), r0, r0;  \
	VPADDQ.BCST (k+8)(SI), r1, r1;  \
	VPADDQ.BCST (k+16)(SI), r2, r2; \
	VPADDQ.BCST (k+24)(SI), r3, r3; \
	VPADDQ.BCST (k+32)(SI), r4, r4

#define INPUT(at, r0, r1, r2, r3, r4) \
	VPADDQ (at+0)(DX), r0, r0;   \
	VPADDQ (at+64)(DX), r1, r1;  \
	VPADDQ (at+128)(DX), r2, r2; \
	VPADDQ (at+192)(DX), r3, r3; \
	VPADDQ (at+256)(DX), r4, r4

// MIX multiplies one limb of the lanes a, b, c by ((3,1,1),(1,-1,1),(1,1,-2)). c is lost, its successor goes to n.
#define MIX(a, b, c, n) \
	VPADDQ c, a, Z23;   \
	VPADDQ b, a, Z24;   \
	VPADDQ c, c, c;     \
	VPSUBQ c, Z24, n;   \
	VPSUBQ b, Z23, b;   \
	VPADDQ Z24, Z23, Z23; \
	VPADDQ Z23, a, a

#define A 0
#define B 320
#define C 640
