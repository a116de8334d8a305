// Compiles a Cairo contract with the compiler that npm's wasm-cairo carries (Cairo 2.8, Sierra 1.6):
//
//   node compile.mjs SOURCE.cairo OUT.contract_class.json
//
// A source may say `// Sierra version: 1.7.0`: then the class says so. From that version on the network meters classes in
// Sierra gas instead of steps of the VM, and runs them on Cairo Native, which it does not do with 1.6. It is the same code:
// what later versions add are more functions for programs to use.
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const library = path.join(process.env.ORDO_E2E_JS, 'node_modules', 'wasm-cairo');
const { default: init, compileStarknetContract } = await import(pathToFileURL(path.join(library, 'wasm-cairo.js')));
await init({ module_or_path: fs.readFileSync(path.join(library, 'wasm-cairo_bg.wasm')) });

const [source, out] = process.argv.slice(2);
const cairo = fs.readFileSync(source, 'utf8');
const text = compileStarknetContract(cairo, true, true);
let artifact;
try {
  artifact = JSON.parse(text);
} catch {
  console.error(text);
  process.exit(1);
}
// The compiler runs in 32 bits and writes the mark of a fallthrough branch, the largest word, as one of 32 bits.
artifact.sierra_program = artifact.sierra_program.map((felt) => (felt === '0xffffffff' ? '0xffffffffffffffff' : felt));
const said = cairo.match(/^\/\/ Sierra version: (\d+)\.(\d+)\.(\d+)$/m);
if (said) {
  artifact.sierra_program.splice(0, 3, ...said.slice(1).map((n) => '0x' + Number(n).toString(16)));
}
fs.writeFileSync(out, JSON.stringify(artifact));
