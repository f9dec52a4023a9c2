import { defineConfig } from 'vite';

// The page is served by the daemon under a strict Content-Security-Policy (`default-src 'self'`), so nothing
// may be inlined: no data: URIs, no module-preload script in the HTML. Paths are relative, so the page also
// works behind a proxy that puts it under a prefix.
export default defineConfig({
  base: './',
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  // `npm run dev` draws the data of a daemon on its usual address.
  server: { proxy: { '/api': { target: 'http://127.0.0.1:8080', ws: true } } },
});
