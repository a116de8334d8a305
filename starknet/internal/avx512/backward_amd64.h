	CONSTANTS
	LOAD(0, R9, Z18, Z19, Z20, Z21, Z22)

	// Start at the last block.
	LEAQ  -1(CX), AX
	IMUL3Q $320, AX, AX
	ADDQ  AX, DX
	ADDQ  AX, R8
	ADDQ  AX, AX
	ADDQ  AX, DI
	ADDQ  AX, SI

more:
	// acc is 1/(all dx up to this one): times the product of those before, it is 1/dx; times dx, it is the next acc.
	LOAD(0, R8, Z0, Z1, Z2, Z3, Z4)
	MUL(Z18, Z19, Z20, Z21, Z22)
	CARRY(Z15, Z10, Z11, Z12, Z13, Z5, Z6, Z7, Z8, Z9)
	LOAD(0, DX, Z0, Z1, Z2, Z3, Z4)
	MUL(Z18, Z19, Z20, Z21, Z22)
	CARRY(Z15, Z10, Z11, Z12, Z13, Z18, Z19, Z20, Z21, Z22)

	// The slope, dy/dx.
	LOAD(Y, SI, Z0, Z1, Z2, Z3, Z4)
	SUBTRACT(Y, DI, Z0, Z1, Z2, Z3, Z4)
	REDUCE(Z0, Z1, Z2, Z3, Z4, Z0, Z1, Z2, Z3, Z4)
	MUL(Z5, Z6, Z7, Z8, Z9)
	CARRY(Z15, Z10, Z11, Z12, Z13, Z0, Z1, Z2, Z3, Z4)

	// x = slope^2 - p.x - q.x
	SQUARE
	SUBTRACT(X, DI, Z15, Z10, Z11, Z12, Z13)
	SUBTRACT(X, SI, Z15, Z10, Z11, Z12, Z13)
	REDUCE(Z15, Z10, Z11, Z12, Z13, Z5, Z6, Z7, Z8, Z9)

	// y = slope*(p.x-x) - p.y
	LOAD(X, DI, Z10, Z11, Z12, Z13, Z14)
	STORE(Z5, Z6, Z7, Z8, Z9, X, DI)
	VPSUBQ Z5, Z10, Z10
	VPSUBQ Z6, Z11, Z11
	VPSUBQ Z7, Z12, Z12
	VPSUBQ Z8, Z13, Z13
	VPSUBQ Z9, Z14, Z14
	REDUCE(Z10, Z11, Z12, Z13, Z14, Z5, Z6, Z7, Z8, Z9)
	AGAIN(Z5, Z6, Z7, Z8, Z9)
	SUBTRACT(Y, DI, Z15, Z10, Z11, Z12, Z13)
	REDUCE(Z15, Z10, Z11, Z12, Z13, Z5, Z6, Z7, Z8, Z9)
	STORE(Z5, Z6, Z7, Z8, Z9, Y, DI)

	SUBQ $640, DI
	SUBQ $640, SI
	SUBQ $320, DX
	SUBQ $320, R8
	DECQ CX
	JNZ  more
	VZEROUPPER
	RET
