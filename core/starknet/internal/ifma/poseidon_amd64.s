//go:build !purego

#include "textflag.h"
#include "field_amd64.h"

// CUBE multiplies A twice by itself; the result is not carried.
#define CUBE \
	MUL(Z0, Z1, Z2, Z3, Z4);                                 \
	CARRY(Z15, Z10, Z11, Z12, Z13, Z5, Z6, Z7, Z8, Z9);      \
	MUL(Z5, Z6, Z7, Z8, Z9)

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

// func permute(state *[3]Block, input *[2]Block, rounds *uint64)
//
// Between rounds c is in Z0..Z4, a in Z18..Z22, and b in memory.
TEXT ·permute(SB), NOSPLIT, $0-24
	MOVQ state+0(FP), DI
	MOVQ input+8(FP), DX
	MOVQ rounds+16(FP), SI
	CONSTANTS

	// The input is added together with the constants of the first round.
	LOAD(A, DI, Z18, Z19, Z20, Z21, Z22)
	LOAD(B, DI, Z5, Z6, Z7, Z8, Z9)
	LOAD(C, DI, Z0, Z1, Z2, Z3, Z4)
	INPUT(0, Z18, Z19, Z20, Z21, Z22)
	INPUT(320, Z5, Z6, Z7, Z8, Z9)
	MOVQ $0, CX
	JMP  constants

round:
	// The 4th to the 86th round cube c only.
	LEAQ -4(CX), AX
	CMPQ AX, $83
	JB   last
	STORE(Z0, Z1, Z2, Z3, Z4, C, DI)
	LOAD(B, DI, Z0, Z1, Z2, Z3, Z4)
	CUBE
	CARRY(Z15, Z10, Z11, Z12, Z13, Z5, Z6, Z7, Z8, Z9)
	STORE(Z5, Z6, Z7, Z8, Z9, B, DI)
	VMOVDQA64 Z18, Z0
	VMOVDQA64 Z19, Z1
	VMOVDQA64 Z20, Z2
	VMOVDQA64 Z21, Z3
	VMOVDQA64 Z22, Z4
	CUBE
	CARRY(Z15, Z10, Z11, Z12, Z13, Z18, Z19, Z20, Z21, Z22)
	LOAD(C, DI, Z0, Z1, Z2, Z3, Z4)

last:
	CUBE
	INCQ CX
	LOAD(B, DI, Z5, Z6, Z7, Z8, Z9)
	MIX(Z18, Z5, Z15, Z0)
	MIX(Z19, Z6, Z10, Z1)
	MIX(Z20, Z7, Z11, Z2)
	MIX(Z21, Z8, Z12, Z3)
	MIX(Z22, Z9, Z13, Z4)

constants:
	ABSORB(80, Z0, Z1, Z2, Z3, Z4)
	REDUCE(Z0, Z1, Z2, Z3, Z4, Z0, Z1, Z2, Z3, Z4)
	ABSORB(40, Z5, Z6, Z7, Z8, Z9)
	REDUCE(Z5, Z6, Z7, Z8, Z9, Z5, Z6, Z7, Z8, Z9)
	STORE(Z5, Z6, Z7, Z8, Z9, B, DI)
	ABSORB(0, Z18, Z19, Z20, Z21, Z22)
	REDUCE(Z18, Z19, Z20, Z21, Z22, Z18, Z19, Z20, Z21, Z22)
	ADDQ $120, SI
	CMPQ CX, $91
	JNE  round

	STORE(Z18, Z19, Z20, Z21, Z22, A, DI)
	STORE(Z0, Z1, Z2, Z3, Z4, C, DI)
	VZEROUPPER
	RET
