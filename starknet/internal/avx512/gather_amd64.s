//go:build !purego

#include "textflag.h"
#include "limbs_amd64.h"

#define ENTRY(lane, z) \
	MOVWLZX   (2*lane)(DX), AX; \
	SHLQ      $6, AX;           \
	VMOVDQU64 (SI)(AX*1), z

// AHEAD asks for the entry of a lane four blocks on: tables live in the third-level cache.
#define AHEAD(lane) \
	MOVWLZX    (2*lane+64)(DX), AX; \
	SHLQ       $6, AX;              \
	PREFETCHT0 (SI)(AX*1)

// LIMBS cuts four words, word i of eight numbers each, into limbs, moved up by four bits (see Block.Set), and stores them.
#define LIMBS(w0, w1, w2, w3, at) \
	VPSLLQ     $4, w0, Z16;            \
	VPANDQ     MASK52, Z16, Z16;       \
	VMOVDQU64  Z16, (at+0)(DI);        \
	VPSRLQ     $48, w0, Z16;           \
	VPSLLQ     $16, w1, Z17;           \
	VPTERNLOGQ $0xa8, MASK52, Z17, Z16; \
	VMOVDQU64  Z16, (at+64)(DI);       \
	VPSRLQ     $36, w1, Z16;           \
	VPSLLQ     $28, w2, Z17;           \
	VPTERNLOGQ $0xa8, MASK52, Z17, Z16; \
	VMOVDQU64  Z16, (at+128)(DI);      \
	VPSRLQ     $24, w2, Z16;           \
	VPSLLQ     $40, w3, Z17;           \
	VPTERNLOGQ $0xa8, MASK52, Z17, Z16; \
	VMOVDQU64  Z16, (at+192)(DI);      \
	VPSRLQ     $12, w3, Z16;           \
	VMOVDQU64  Z16, (at+256)(DI)

// func gather(dst *Points, table *Point, digits *uint16, n int)
TEXT ·gather(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ table+8(FP), SI
	MOVQ digits+16(FP), DX
	MOVQ n+24(FP), CX
	SPREAD(0xfffffffffffff, MASK52)

more:
	CMPQ CX, $4
	JBE  entries
	AHEAD(0)
	AHEAD(1)
	AHEAD(2)
	AHEAD(3)
	AHEAD(4)
	AHEAD(5)
	AHEAD(6)
	AHEAD(7)

entries:
	// Eight entries, then their transpose: word i of all of them in one register.
	ENTRY(0, Z0)
	ENTRY(1, Z1)
	ENTRY(2, Z2)
	ENTRY(3, Z3)
	ENTRY(4, Z4)
	ENTRY(5, Z5)
	ENTRY(6, Z6)
	ENTRY(7, Z7)
	VPUNPCKLQDQ Z1, Z0, Z8   // even words of 0 and 1
	VPUNPCKHQDQ Z1, Z0, Z9   // odd words
	VPUNPCKLQDQ Z3, Z2, Z10
	VPUNPCKHQDQ Z3, Z2, Z11
	VPUNPCKLQDQ Z5, Z4, Z12
	VPUNPCKHQDQ Z5, Z4, Z13
	VPUNPCKLQDQ Z7, Z6, Z14
	VPUNPCKHQDQ Z7, Z6, Z15
	VSHUFI64X2 $0x88, Z10, Z8, Z0  // words 0 and 4 of 0..3
	VSHUFI64X2 $0xdd, Z10, Z8, Z1  // words 2 and 6
	VSHUFI64X2 $0x88, Z11, Z9, Z2  // words 1 and 5
	VSHUFI64X2 $0xdd, Z11, Z9, Z3  // words 3 and 7
	VSHUFI64X2 $0x88, Z14, Z12, Z4 // the same of 4..7
	VSHUFI64X2 $0xdd, Z14, Z12, Z5
	VSHUFI64X2 $0x88, Z15, Z13, Z6
	VSHUFI64X2 $0xdd, Z15, Z13, Z7
	VSHUFI64X2 $0x88, Z4, Z0, Z8  // word 0
	VSHUFI64X2 $0x88, Z6, Z2, Z9  // word 1
	VSHUFI64X2 $0x88, Z5, Z1, Z10 // word 2
	VSHUFI64X2 $0x88, Z7, Z3, Z11 // word 3
	VSHUFI64X2 $0xdd, Z4, Z0, Z12 // word 4
	VSHUFI64X2 $0xdd, Z6, Z2, Z13
	VSHUFI64X2 $0xdd, Z5, Z1, Z14
	VSHUFI64X2 $0xdd, Z7, Z3, Z15
	LIMBS(Z8, Z9, Z10, Z11, X)
	LIMBS(Z12, Z13, Z14, Z15, Y)
	ADDQ $640, DI
	ADDQ $16, DX
	DECQ CX
	JNZ  more
	VZEROUPPER
	RET
