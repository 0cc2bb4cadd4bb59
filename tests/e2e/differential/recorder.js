// SPDX-License-Identifier: Apache-2.0
// Two servers that tell what they executed, one JSON line a request, on stdout.
//   node PORT     Node's own HTTP server
//   behind PORT   what stands behind HAProxy: reads its regular requests byte by byte
'use strict';
const [mode, port] = [process.argv[2], Number(process.argv[3])];

function tell(entry) {
	process.stdout.write(JSON.stringify(entry) + '\n');
}

function app(target, host) {
	// What a program behind Node mostly looks at.
	try {
		return new URL(target, 'http://' + (host || 'none')).pathname;
	} catch (e) {
		return null;
	}
}

function node() {
	const server = require('http').createServer((req, res) => {
		let body = 0;
		const entry = {
			port: req.socket.remotePort, method: req.method, raw: req.url, path: app(req.url, req.headers.host),
			host: req.headers.host ?? null, tenant: req.headers['x-tenant'] ?? null, status: 200,
		};
		let told = false;
		const once = (n) => { if (!told) { told = true; tell({...entry, body: n}); } };
		req.on('data', (d) => { body += d.length; });
		req.on('end', () => { once(body); res.end('ok\n'); });
		req.on('close', () => once(-1));
		req.on('error', () => once(-1));
	});
	server.on('clientError', (e, socket) => {
		if (socket.writable)
			socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
		else
			socket.destroy();
	});
	server.requestTimeout = 10000;
	server.keepAliveTimeout = 3000;
	server.listen(port, '::', 1024);
}

function behind() {
	require('net').createServer((socket) => {
		let buffer = '', state = 'head', entry, left = 0;
		const done = () => {
			tell(entry);
			socket.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n' + (entry.method === 'HEAD' ? '' : 'ok\n'));
			state = 'head';
		};
		const line = () => {
			const at = buffer.indexOf('\r\n');
			if (at < 0)
				return null;
			const got = buffer.slice(0, at);
			buffer = buffer.slice(at + 2);
			return got;
		};
		const head = () => {
			const at = buffer.indexOf('\r\n\r\n');
			if (at < 0)
				return false;
			const lines = buffer.slice(0, at).split('\r\n');
			const [method, raw = ''] = lines[0].split(' ');
			const all = (name) => lines.slice(1).filter((l) => l.toLowerCase().startsWith(name + ':'))
				.map((l) => l.slice(name.length + 1).trim());
			const joined = (name) => (all(name).length ? all(name).join(', ') : null);
			buffer = buffer.slice(at + 4);
			entry = {
				port: Number(joined('x-client-port')), method, raw, path: null, host: joined('host'),
				tenant: joined('x-tenant'), status: 200, body: 0, line: lines[0],
			};
			left = Number(joined('content-length') ?? 0);
			if ((joined('transfer-encoding') ?? '').toLowerCase() === 'chunked')
				state = 'size';
			else if (left)
				state = 'body';
			else
				done();
			return true;
		};
		const step = () => {
			if (state === 'head')
				return head();
			if (state === 'body' || state === 'chunk') {
				const n = Math.min(left, buffer.length);
				buffer = buffer.slice(n);
				entry.body += n;
				left -= n;
				if (left)
					return false;
				if (state === 'body')
					done();
				else
					state = 'crlf';
				return true;
			}
			const got = line();
			if (got === null)
				return false;
			if (state === 'crlf')
				state = 'size';
			else if (state === 'size') {
				left = parseInt(got, 16);
				state = left ? 'chunk' : 'trailer';
			} else if (got === '')
				done();
			return true;
		};
		socket.setNoDelay(true);
		socket.setEncoding('latin1');
		socket.on('data', (d) => { buffer += d; while (step()); });
		socket.on('error', () => socket.destroy());
	}).listen(port, '127.0.0.1', 1024);
}

(mode === 'node' ? node : behind)();
