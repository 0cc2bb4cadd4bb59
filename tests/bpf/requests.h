/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_TEST_REQUESTS_H
#define BF_TEST_REQUESTS_H
/*
 * Requests and what has to become of them under REQUESTS_POLICY. Two tests read
 * this: packets through the programs, and the parser alone, split everywhere. A
 * third makes streams of them.
 *
 * X(what it is, bytes, reason): reason NONE is "allowed to its last byte".
 */
/* The rules alone, for other policies with them. */
#define REQUESTS_RULES                                                                             \
	"        - {method: \"GET|POST|HEAD\", path: \"/ok.*\"}\n"                                 \
	"        - {method: GET, path: \"/x%2Cy\"}\n"                                              \
	"        - {method: GET, path: /tenant, headers: [\"X-Tenant: blue\"]}\n"                  \
	"        - {method: GET, path: /there, headers: [\"X-There\"]}\n"                          \
	"        - {method: GET, path: /host, host: \"api[.]example[.]com\"}\n"                    \
	"        - {method: GET, path: /vhost, host: \".*[.]example[.]com(:.*)?\"}\n"              \
	"        - {method: PUT, path: \"/(a|b)/[0-9]+\"}\n"                                       \
	"        - {method: GET, path: /ws, upgrade: [websocket]}\n"                               \
	"        - {method: CONNECT, host: \"db:5432\", upgrade: [connect]}\n"

#define REQUESTS_POLICY                                                                            \
	"apiVersion: bpfast.io/v1alpha1\n"                                                         \
	"kind: PayloadPolicy\n"                                                                    \
	"metadata: {name: web, namespace: shop}\n"                                                 \
	"spec:\n"                                                                                  \
	"  endpointSelector: {matchLabels: {app: web}}\n"                                          \
	"  ingress:\n"                                                                             \
	"  - toPorts:\n"                                                                           \
	"    - ports: [{port: \"80\", protocol: TCP}]\n"                                           \
	"      rules:\n"                                                                           \
	"        http:\n" REQUESTS_RULES

#define L "GET /ok HTTP/1.1\r\n" /* a good request line */
#define H " HTTP/1.1\r\nHost: a\r\n\r\n" /* the rest behind a target */
#define P "POST /ok HTTP/1.1\r\nHost: a\r\n" /* a request with a body to come */
#define C P "Transfer-Encoding: chunked\r\n\r\n"

#define REQUESTS(X)                                                                                \
	/* --- allowed */                                                                          \
	X("plain", "GET /ok" H, NONE)                                                              \
	X("longer path", "GET /ok/a/b_c-d~e.f" H, NONE)                                            \
	X("query", "GET /ok?a=b&c=%20?/:@!$'()*+,;" H, NONE)                                       \
	X("query with a path in it", "GET /ok?x=/../../etc" H, NONE)                               \
	X("HTTP/1.0 without Host", "GET /ok HTTP/1.0\r\n\r\n", NONE)                               \
	X("HTTP/1.0 with Host", "GET /ok HTTP/1.0\r\nHost: a\r\n\r\n", NONE)                       \
	X("HEAD", "HEAD /ok" H, NONE)                                                              \
	X("several headers", L "Host: a\r\nAccept: */*\r\nUser-Agent: t/1 (x; y)\r\n\r\n", NONE)   \
	X("empty value", L "Host: a\r\nX:\r\n\r\n", NONE)                                          \
	X("blanks around a value", L "Host:   a  \r\nX: \t\r\n\r\n", NONE)                         \
	X("bytes past ASCII in a value", L "Host: a\r\nX: \xc3\xa4\xff\r\n\r\n", NONE)             \
	X("any token as a name", L "Host: a\r\n!#$%&'*+-.^_`|~09Az: b\r\n\r\n", NONE)              \
	X("Expect", P "Content-Length: 2\r\nExpect: 100-continue\r\n\r\nok", NONE)                 \
	X("no body", P "Content-Length: 0\r\n\r\n", NONE)                                          \
	X("body", P "Content-Length: 5\r\n\r\nhello", NONE)                                        \
	X("body that looks like a request", P "Content-Length: 18\r\n\r\nGET /no HTTP/1.1\r\n",    \
	  NONE)                                                                                    \
	X("length with zeroes in front", P "Content-Length: 0005\r\n\r\nhello", NONE)              \
	X("length between blanks", P "Content-Length:  5  \r\n\r\nhello", NONE)                    \
	X("its name in any case", P "cOnTENT-lEngth: 5\r\n\r\nhello", NONE)                        \
	X("chunks", C "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", NONE)                                   \
	X("no chunk", C "0\r\n\r\n", NONE)                                                         \
	X("chunk size in either case", C "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", NONE)  \
	X("chunk size with zeroes in front", C "00005\r\nhello\r\n000\r\n\r\n", NONE)              \
	X("trailer", C "0\r\nX-Sum: 1\r\nY:\r\n\r\n", NONE)                                        \
	X("Chunked in capitals", P "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", NONE)            \
	X("chunked between blanks", P "Transfer-Encoding:   chunked \r\n\r\n0\r\n\r\n", NONE)      \
	X("pipelined", "GET /ok" H "GET /ok/2" H "HEAD /ok" H, NONE)                               \
	X("pipelined behind a body", P "Content-Length: 5\r\n\r\nhelloGET /ok" H, NONE)            \
	X("pipelined behind chunks", C "5\r\nhello\r\n0\r\n\r\nGET /ok" H, NONE)                   \
	X("alternatives", "PUT /b/42" H, NONE)                                                     \
	X("absolute form", "GET http://a/ok" H, NONE)                                              \
	X("GET with a length of nothing",                                                          \
	  "GET /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", NONE)                        \
	X("absolute form, scheme and host in any case", "GET HtTp://A/ok" H, NONE)                 \
	X("absolute form, port", "GET http://a:8080/ok HTTP/1.1\r\nHost: A:8080\r\n\r\n", NONE)    \
	X("absolute form, IPv6",                                                                   \
	  "GET http://[fd00::1]:80/ok HTTP/1.1\r\nHost: [fd00::1]:80\r\n\r\n", NONE)               \
	X("absolute form, host in a rule",                                                         \
	  "GET http://api.example.com/host HTTP/1.1\r\nHost: api.example.com\r\n\r\n", NONE)       \
	X("upgrade that a rule allows",                                                            \
	  "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n",      \
	  NONE)                                                                                    \
	X("CONNECT that a rule allows", "CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n", NONE) \
	X("Upgrade that the server may refuse", L "Host: a\r\nUpgrade: websocket\r\n\r\n", NONE)   \
	/* --- no rule */                                                                          \
	X("another path", "GET /no" H, HTTP_DENIED)                                                \
	X("the root", "GET /" H, HTTP_DENIED)                                                      \
	X("another method", "DELETE /ok" H, HTTP_DENIED)                                           \
	X("method in small letters", "get /ok" H, HTTP_DENIED)                                     \
	X("longer method", "GETS /ok" H, HTTP_DENIED)                                              \
	X("path in capitals", "GET /OK" H, HTTP_DENIED)                                            \
	X("a rule's method with another's path", "PUT /ok" H, HTTP_DENIED)                         \
	X("no match to the end", "PUT /a/4x" H, HTTP_DENIED)                                       \
	X("path only in the query", "GET /no?/ok" H, HTTP_DENIED)                                  \
	X("an unknown path with a query", "GET /no?x=1" H, HTTP_DENIED)                            \
	X("HTTP/1.0, another path", "GET /no HTTP/1.0\r\n\r\n", HTTP_DENIED)                       \
	X("second of two", "GET /ok" H "GET /no" H, HTTP_DENIED)                                   \
	X("behind a body", P "Content-Length: 5\r\n\r\nhelloGET /no" H, HTTP_DENIED)               \
	X("behind chunks", C "5\r\nhello\r\n0\r\n\r\nGET /no" H, HTTP_DENIED)                      \
	X("two Hosts, and no rule for the line", "GET /no HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", \
	  HTTP_DENIED)                                                                             \
	X("no Host, and no rule for the line", "GET /no HTTP/1.1\r\n\r\n", HTTP_DENIED)            \
	X("a head cut by NUL, and no rule for the line", "GET /no HTTP/1.1\r\nHost: a\0",          \
	  HTTP_DENIED)                                                                             \
	X("OPTIONS *", "OPTIONS *" H, HTTP_DENIED)                                                 \
	/* --- headers that rules read */                                                          \
	X("header", "GET /tenant HTTP/1.1\r\nHost: a\r\nX-Tenant: blue\r\n\r\n", NONE)             \
	X("header, name in any case", "GET /tenant HTTP/1.1\r\nx-TENANT:blue \r\nHost: a\r\n\r\n", \
	  NONE)                                                                                    \
	X("header twice alike",                                                                    \
	  "GET /tenant HTTP/1.1\r\nX-Tenant: blue\r\nHost: a\r\nX-Tenant: blue\r\n\r\n", NONE)     \
	X("header absent", "GET /tenant" H, HTTP_DENIED)                                           \
	X("header, another value", "GET /tenant HTTP/1.1\r\nHost: a\r\nX-Tenant: red\r\n\r\n",     \
	  HTTP_DENIED)                                                                             \
	X("header, value in another case",                                                         \
	  "GET /tenant HTTP/1.1\r\nHost: a\r\nX-Tenant: Blue\r\n\r\n", HTTP_DENIED)                \
	X("header, longer value", "GET /tenant HTTP/1.1\r\nHost: a\r\nX-Tenant: blue x\r\n\r\n",   \
	  HTTP_DENIED)                                                                             \
	X("header twice, the second unlike",                                                       \
	  "GET /tenant HTTP/1.1\r\nX-Tenant: blue\r\nHost: a\r\nX-Tenant: red\r\n\r\n",            \
	  HTTP_DENIED)                                                                             \
	X("header twice, the first unlike",                                                        \
	  "GET /tenant HTTP/1.1\r\nX-Tenant: red\r\nHost: a\r\nX-Tenant: blue\r\n\r\n",            \
	  HTTP_DENIED)                                                                             \
	X("header three times, the last alike again",                                              \
	  "GET /tenant HTTP/1.1\r\nX-Tenant: blue\r\nX-Tenant: red\r\nX-Tenant: blue\r\n"          \
	  "Host: a\r\n\r\n",                                                                       \
	  HTTP_DENIED)                                                                             \
	X("header name with more behind it",                                                       \
	  "GET /tenant HTTP/1.1\r\nHost: a\r\nX-Tenant2: blue\r\n\r\n", HTTP_DENIED)               \
	X("header, a list with the value",                                                         \
	  "GET /tenant HTTP/1.1\r\nHost: a\r\nX-Tenant: blue, red\r\n\r\n", HTTP_DENIED)           \
	X("header, a list of the value",                                                           \
	  "GET /tenant HTTP/1.1\r\nHost: a\r\nX-Tenant: blue, blue\r\n\r\n", HTTP_DENIED)          \
	X("header twice, the second empty",                                                        \
	  "GET /tenant HTTP/1.1\r\nX-Tenant: blue\r\nX-Tenant:\r\nHost: a\r\n\r\n", HTTP_DENIED)   \
	X("header with an underscore in its name",                                                 \
	  "GET /tenant HTTP/1.1\r\nHost: a\r\nX_Tenant: blue\r\n\r\n", HTTP_HEADER)                \
	X("header, and one with an underscore beside it",                                          \
	  "GET /tenant HTTP/1.1\r\nHost: a\r\nX-Tenant: blue\r\nX_Tenant: red\r\n\r\n",            \
	  HTTP_HEADER)                                                                             \
	X("underscore in a name that nobody reads", L "Host: a\r\nX_Y: b\r\n\r\n", NONE)           \
	X("header present", "GET /there HTTP/1.1\r\nHost: a\r\nX-There:\r\n\r\n", NONE)            \
	X("header not present", "GET /there" H, HTTP_DENIED)                                       \
	X("host", "GET /host HTTP/1.1\r\nHost: api.example.com\r\n\r\n", NONE)                     \
	X("host in capitals", "GET /host HTTP/1.1\r\nHost: API.Example.COM\r\n\r\n", NONE)         \
	X("another host", "GET /host HTTP/1.1\r\nHost: api.example.org\r\n\r\n", HTTP_DENIED)      \
	X("host by its end", "GET /vhost HTTP/1.1\r\nHost: a.example.com\r\n\r\n", NONE)           \
	X("host and port", "GET /vhost HTTP/1.1\r\nHost: a.example.com:80\r\n\r\n", NONE)          \
	X("host and half a port", "GET /vhost HTTP/1.1\r\nHost: a.example.com:\r\n\r\n",           \
	  HTTP_HOST)                                                                               \
	X("another host, the right one in its port",                                               \
	  "GET /vhost HTTP/1.1\r\nHost: admin:x.example.com\r\n\r\n", HTTP_HOST)                   \
	X("another host, the right one behind its port",                                           \
	  "GET /vhost HTTP/1.1\r\nHost: admin:80:a.example.com\r\n\r\n", HTTP_HOST)                \
	X("port that is no number", "GET /vhost HTTP/1.1\r\nHost: a.example.com:x\r\n\r\n",        \
	  HTTP_HOST)                                                                               \
	X("port without a host", "GET /vhost HTTP/1.1\r\nHost: :.example.com\r\n\r\n", HTTP_HOST)  \
	X("half a bracket", "GET /vhost HTTP/1.1\r\nHost: [a.example.com\r\n\r\n", HTTP_HOST)      \
	X("name in brackets", "GET /vhost HTTP/1.1\r\nHost: [x].example.com\r\n\r\n", HTTP_HOST)   \
	X("absolute form, another host and the right one in its port",                             \
	  "GET http://admin:x.example.com/vhost HTTP/1.1\r\nHost: admin:x.example.com\r\n\r\n",    \
	  HTTP_TARGET)                                                                             \
	X("no host at all", "GET /host HTTP/1.0\r\n\r\n", HTTP_DENIED)                             \
	/* --- what is not HTTP/1 */                                                               \
	X("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", HTTP_TLS)                         \
	X("SSL 2", "\x80\x2e\x01\x00\x02", HTTP_TLS)                                               \
	X("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP_H2)                           \
	X("WebSocket frame", "\x81\x85\1\2\3\4hello", HTTP_WEBSOCKET)                              \
	X("NULs", "\0\0\0\0", HTTP_NOT_HTTP)                                                       \
	X("a line end first", "\r\nGET /ok" H, HTTP_NOT_HTTP)                                      \
	X("a bare line end first", "\nGET /ok" H, HTTP_NOT_HTTP)                                   \
	X("a blank first", " GET /ok" H, HTTP_NOT_HTTP)                                            \
	X("byte order mark", "\xef\xbb\xbfGET /ok" H, HTTP_NOT_HTTP)                               \
	X("Redis", "*1\r\n$4\r\nPING\r\n", HTTP_METHOD)                                            \
	X("bytes behind a request without a body", "GET /ok" H "\0", HTTP_NOT_HTTP)                \
	X("line end behind a request", "POST /ok" H "\r\nGET /ok" H, HTTP_NOT_HTTP)                \
	X("TLS behind a request", "GET /ok" H "\x16\x03\x01", HTTP_TLS)                            \
	/* --- request line */                                                                     \
	X("HTTP/0.9", "GET /ok\r\n", HTTP_VERSION)                                                 \
	X("HTTP/1.2", "GET /ok HTTP/1.2\r\nHost: a\r\n\r\n", HTTP_VERSION)                         \
	X("HTTP/1.NUL", "GET /ok HTTP/1.\0\r\nHost: a\r\n\r\n", HTTP_VERSION)                      \
	X("HTTP/1.10", "GET /ok HTTP/1.10\r\nHost: a\r\n\r\n", HTTP_VERSION)                       \
	X("HTTP/01.1", "GET /ok HTTP/01.1\r\nHost: a\r\n\r\n", HTTP_VERSION)                       \
	X("HTTP/2.0", "GET /ok HTTP/2.0\r\nHost: a\r\n\r\n", HTTP_H2)                              \
	X("http/1.1", "GET /ok http/1.1\r\nHost: a\r\n\r\n", HTTP_VERSION)                         \
	X("HTTPS", "GET /ok HTTPS/1.1\r\nHost: a\r\n\r\n", HTTP_VERSION)                           \
	X("bare LF behind the line", "GET /ok HTTP/1.1\nHost: a\r\n\r\n", HTTP_VERSION)            \
	X("bare CR behind the line", "GET /ok HTTP/1.1\rHost: a\r\n\r\n", HTTP_VERSION)            \
	X("blank behind the version", "GET /ok HTTP/1.1 \r\nHost: a\r\n\r\n", HTTP_VERSION)        \
	X("two blanks before the version", "GET /ok  HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_VERSION)   \
	X("two targets", "GET /ok /no HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_VERSION)                  \
	X("target and LF", "GET /ok\nHost: a\r\n\r\n", HTTP_VERSION)                               \
	X("tab behind the method", "GET\t/ok" H, HTTP_METHOD)                                      \
	X("two blanks behind the method", "GET  /ok" H, HTTP_TARGET)                               \
	X("no method", "/ok" H, HTTP_NOT_HTTP)                                                     \
	X("method that is no token", "G(T /ok" H, HTTP_METHOD)                                     \
	X("NUL in the method", "GE\0T /ok" H, HTTP_METHOD)                                         \
	X("method of 33 bytes", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG /ok" H, HTTP_METHOD)            \
	X("method of 32 bytes", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF /ok" H, HTTP_DENIED)             \
	X("CONNECT to another host", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", HTTP_DENIED) \
	X("CONNECT unlike Host", "CONNECT db:5432 HTTP/1.1\r\nHost: db\r\n\r\n", HTTP_HOST)        \
	X("CONNECT without a port", "CONNECT db HTTP/1.1\r\nHost: db\r\n\r\n", HTTP_TARGET)        \
	X("CONNECT, no port behind the colon", "CONNECT db: HTTP/1.1\r\nHost: db:\r\n\r\n",        \
	  HTTP_TARGET)                                                                             \
	X("CONNECT with a path", "CONNECT db:5432/ HTTP/1.1\r\nHost: db:5432\r\n\r\n",             \
	  HTTP_TARGET)                                                                             \
	X("CONNECT in origin form", "CONNECT /ok HTTP/1.1\r\nHost: db:5432\r\n\r\n", HTTP_TARGET)  \
	X("CONNECT in absolute form", "CONNECT http://db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n",  \
	  HTTP_TARGET)                                                                             \
	X("CONNECT with a body",                                                                   \
	  "CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\nContent-Length: 0\r\n\r\n", HTTP_FRAMING)  \
	X("CONNECT, HTTP/1.0 without Host", "CONNECT db:5432 HTTP/1.0\r\n\r\n", HTTP_HOST)         \
	/* --- target */                                                                           \
	X("merged slashes", "GET /ok//a" H, NONE)                                                  \
	X("merged slashes behind an encoded dot", "GET /ok/%2e//a" H, NONE)                        \
	X("many slashes", "GET /ok////a///b//" H, NONE)                                            \
	X("dot segment", "GET /./ok" H, NONE)                                                      \
	X("dot segments", "GET /./././ok/.//." H, NONE)                                            \
	X("dots in a name", "GET /ok/...x/..y/.z" H, NONE)                                         \
	X("three dots", "GET /ok/..." H, NONE)                                                     \
	X("encoded letter", "GET /%6Fk" H, NONE)                                                   \
	X("encoded letters, small digits", "GET /%6f%6b" H, NONE)                                  \
	X("encoded dot segment", "GET /%2e/ok" H, NONE)                                            \
	X("encoded comma, normalised", "GET /x%2cy" H, NONE)                                       \
	X("encoded comma is not the comma", "GET /x,y" H, HTTP_DENIED)                             \
	X("encoded blank", "GET /ok%20a" H, NONE)                                                  \
	X("encoded bytes past ASCII", "GET /ok/%C3%A4" H, NONE)                                    \
	X("path parameter", "GET /ok;v=1" H, NONE)                                                 \
	X("slashes first: a host to some", "GET //ok" H, HTTP_TARGET)                              \
	X("slashes first behind a dot", "GET /.//ok" H, HTTP_TARGET)                               \
	X("slashes first behind dots", "GET /././/ok" H, HTTP_TARGET)                              \
	X("slashes first behind an encoded dot", "GET /%2e//ok" H, HTTP_TARGET)                    \
	X("dot-dot with an encoded parameter", "GET /ok/..%3B/x" H, HTTP_TARGET)                   \
	X("dot with an encoded parameter", "GET /ok/.%3bv/x" H, HTTP_TARGET)                       \
	X("encoded parameter", "GET /ok/a%3Bv" H, NONE)                                            \
	X("a host first", "GET //a/ok" H, HTTP_TARGET)                                             \
	X("dot-dot", "GET /a/../ok" H, HTTP_TARGET)                                                \
	X("dot-dot at the end", "GET /ok/.." H, HTTP_TARGET)                                       \
	X("dot-dot before a query", "GET /ok/..?x" H, HTTP_TARGET)                                 \
	X("dot-dot first", "GET /../ok" H, HTTP_TARGET)                                            \
	X("encoded dot-dot", "GET /a/%2e%2e/ok" H, HTTP_TARGET)                                    \
	X("half encoded dot-dot", "GET /a/.%2E/ok" H, HTTP_TARGET)                                 \
	X("dot-dot with a parameter", "GET /ok/..;/x" H, HTTP_TARGET)                              \
	X("dot with a parameter", "GET /ok/.;/x" H, HTTP_TARGET)                                   \
	X("encoded bytes of three and four", "GET /ok/%E2%82%AC%F0%9F%98%80%E0%A4%85" H, NONE)     \
	X("encoded Latin-1", "GET /ok/%E4x" H, NONE)                                               \
	X("dot written in two bytes", "GET /ok/%c0%ae" H, HTTP_TARGET)                             \
	X("slash written in two bytes", "GET /ok/..%c0%af" H, HTTP_TARGET)                         \
	X("dot written in three bytes", "GET /ok/%e0%80%ae" H, HTTP_TARGET)                        \
	X("dot written in four bytes", "GET /ok/%f0%80%80%ae" H, HTTP_TARGET)                      \
	X("encoded byte of no UTF-8", "GET /ok/%ff" H, HTTP_TARGET)                                \
	X("encoded slash", "GET /ok%2Fa" H, HTTP_TARGET)                                           \
	X("encoded backslash", "GET /ok%5ca" H, HTTP_TARGET)                                       \
	X("encoded NUL", "GET /ok%00" H, HTTP_TARGET)                                              \
	X("encoded line end", "GET /ok%0d%0a" H, HTTP_TARGET)                                      \
	X("encoded DEL", "GET /ok%7f" H, HTTP_TARGET)                                              \
	X("encoded twice", "GET /ok%252e" H, HTTP_TARGET)                                          \
	X("percent without digits", "GET /ok%zz" H, HTTP_TARGET)                                   \
	X("percent with one digit", "GET /ok%2" H, HTTP_TARGET)                                    \
	X("percent at the end", "GET /ok%" H, HTTP_TARGET)                                         \
	X("percent before a query", "GET /ok%?x" H, HTTP_TARGET)                                   \
	X("backslash", "GET /ok\\a" H, HTTP_TARGET)                                                \
	X("fragment", "GET /ok#a" H, HTTP_TARGET)                                                  \
	X("fragment behind a query", "GET /ok?a#b" H, HTTP_TARGET)                                 \
	X("quote", "GET /ok\"" H, HTTP_TARGET)                                                     \
	X("angle", "GET /ok<a>" H, HTTP_TARGET)                                                    \
	X("byte past ASCII", "GET /ok\xc3\xa4" H, HTTP_TARGET)                                     \
	X("byte past ASCII in the query", "GET /ok?\xc3\xa4" H, HTTP_TARGET)                       \
	X("control", "GET /ok\x01" H, HTTP_TARGET)                                                 \
	X("tab", "GET /ok\tHTTP/1.1\r\nHost: a\r\n\r\n", HTTP_TARGET)                              \
	X("NUL", "GET /ok\0" H, HTTP_TARGET)                                                       \
	X("NUL in the query", "GET /ok?\0" H, HTTP_TARGET)                                         \
	X("GET with a body", "GET /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",      \
	  HTTP_FRAMING)                                                                            \
	X("GET with chunks",                                                                       \
	  "GET /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",            \
	  HTTP_FRAMING)                                                                            \
	X("HEAD with a body", "HEAD /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",    \
	  HTTP_FRAMING)                                                                            \
	X("absolute form, another host", "GET http://b/ok" H, HTTP_HOST)                           \
	X("absolute form, no Host", "GET http://a/ok HTTP/1.1\r\n\r\n", HTTP_HOST)                 \
	X("absolute form, empty Host", "GET http://a/ok HTTP/1.1\r\nHost:\r\n\r\n", HTTP_HOST)     \
	X("absolute form, HTTP/1.0 without Host", "GET http://a/ok HTTP/1.0\r\n\r\n", HTTP_HOST)   \
	X("absolute form, a port that Host has not", "GET http://a:80/ok" H, HTTP_HOST)            \
	X("absolute form, user", "GET http://u@a/ok" H, HTTP_TARGET)                               \
	X("absolute form, no host", "GET http:///ok" H, HTTP_TARGET)                               \
	X("absolute form, only a port", "GET http://:80/ok HTTP/1.1\r\nHost: :80\r\n\r\n",         \
	  HTTP_TARGET)                                                                             \
	X("absolute form, no port behind the colon",                                               \
	  "GET http://a:/ok HTTP/1.1\r\nHost: a:\r\n\r\n", HTTP_TARGET)                            \
	X("absolute form, https", "GET https://a/ok" H, HTTP_TARGET)                               \
	X("absolute form, one slash", "GET http:/a/ok" H, HTTP_TARGET)                             \
	X("absolute form, two slashes behind the host", "GET http://a//ok" H, HTTP_TARGET)         \
	X("absolute form, fragment", "GET http://a#/ok" H, HTTP_TARGET)                            \
	X("absolute form, denied path", "GET http://a/no" H, HTTP_DENIED)                          \
	X("absolute form, no path", "GET http://a" H, HTTP_DENIED)                                 \
	X("absolute form, the other host in the rule",                                             \
	  "GET http://b/host HTTP/1.1\r\nHost: api.example.com\r\n\r\n", HTTP_HOST)                \
	X("empty Host", L "Host:\r\n\r\n", HTTP_HOST)                                              \
	X("blank Host", L "Host:  \r\n\r\n", HTTP_HOST)                                            \
	X("empty Host, HTTP/1.0", "GET /ok HTTP/1.0\r\nHost:\r\n\r\n", HTTP_HOST)                  \
	X("Host with a dot behind it", L "Host: a.b.:80\r\n\r\n", NONE)                            \
	X("Host with two dots", L "Host: a..b\r\n\r\n", HTTP_HOST)                                 \
	X("Host with a dot first", L "Host: .a\r\n\r\n", HTTP_HOST)                                \
	X("Host with a dash first", L "Host: -a\r\n\r\n", HTTP_HOST)                               \
	X("Host with a tilde", L "Host: a~b\r\n\r\n", HTTP_HOST)                                   \
	X("Host with an underscore", L "Host: a_b-c.d\r\n\r\n", NONE)                              \
	X("Host with a path", L "Host: a/b\r\n\r\n", HTTP_HOST)                                    \
	X("Host with a user", L "Host: u@a\r\n\r\n", HTTP_HOST)                                    \
	X("Host with a blank inside", L "Host: a b\r\n\r\n", HTTP_HOST)                            \
	X("Host with a tab before it", L "Host:\ta\r\n\r\n", HTTP_HEADER)                          \
	X("Host with a tab behind it", L "Host: a\t\r\n\r\n", HTTP_HEADER)                         \
	X("Host with a port", L "Host: a:65535\r\n\r\n", NONE)                                     \
	X("Host with a short port", L "Host: a:8\r\n\r\n", NONE)                                   \
	X("Host with a port too large", L "Host: a:65536\r\n\r\n", HTTP_HOST)                      \
	X("Host with a port of six digits", L "Host: a:100000\r\n\r\n", HTTP_HOST)                 \
	X("Host with port 0", L "Host: a:0\r\n\r\n", HTTP_HOST)                                    \
	X("Host with an empty port", L "Host: a:\r\n\r\n", HTTP_HOST)                              \
	X("Host with a port that is no number", L "Host: a:x\r\n\r\n", HTTP_HOST)                  \
	X("Host with two ports", L "Host: a:80:80\r\n\r\n", HTTP_HOST)                             \
	X("Host of a port alone", L "Host: :80\r\n\r\n", HTTP_HOST)                                \
	X("Host, IPv6", L "Host: [fd00::1]:8080\r\n\r\n", NONE)                                    \
	X("Host, IPv6 not closed", L "Host: [fd00::1\r\n\r\n", HTTP_HOST)                          \
	X("Host, IPv6 and more", L "Host: [fd00::1]a\r\n\r\n", HTTP_HOST)                          \
	X("Host, IPv6 without brackets", L "Host: fd00::1\r\n\r\n", HTTP_HOST)                     \
	X("absolute form, two ports", "GET http://a:1:2/ok HTTP/1.1\r\nHost: a:1:2\r\n\r\n",       \
	  HTTP_TARGET)                                                                             \
	X("Host list", L "Host: a,b\r\n\r\n", HTTP_HOST)                                           \
	X("no slash first", "GET ok" H, HTTP_TARGET)                                               \
	X("query alone", "GET ?x" H, HTTP_TARGET)                                                  \
	X("asterisk for GET", "GET *" H, HTTP_TARGET)                                              \
	X("asterisk for PRI", "PRI *" H, HTTP_TARGET)                                              \
	X("more than an asterisk", "OPTIONS *a" H, HTTP_TARGET)                                    \
	/* --- header lines */                                                                     \
	X("no Host", L "Accept: */*\r\n\r\n", HTTP_HOST)                                           \
	X("no header", L "\r\n", HTTP_HOST)                                                        \
	X("two Hosts", L "Host: a\r\nHost: b\r\n\r\n", HTTP_HOST)                                  \
	X("two Hosts alike", L "Host: a\r\nHost: a\r\n\r\n", HTTP_HOST)                            \
	X("two Hosts, HTTP/1.0", "GET /ok HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", HTTP_HOST)      \
	X("no colon", L "Host\r\n\r\n", HTTP_HEADER)                                               \
	X("blank before the colon", L "Host : a\r\n\r\n", HTTP_HEADER)                             \
	X("tab before the colon", L "Host\t: a\r\n\r\n", HTTP_HEADER)                              \
	X("no name", L ": a\r\nHost: a\r\n\r\n", HTTP_HEADER)                                      \
	X("blank before the first name", L " Host: a\r\n\r\n", HTTP_HEADER)                        \
	X("folded line", L "Host: a\r\nX: a\r\n b\r\n\r\n", HTTP_HEADER)                           \
	X("folded with a tab", L "Host: a\r\nX: a\r\n\tb\r\n\r\n", HTTP_HEADER)                    \
	X("folded length", P "Content-Length:\r\n 5\r\n\r\nhello", HTTP_FRAMING)                   \
	X("bare LF", L "Host: a\nX: b\r\n\r\n", HTTP_HEADER)                                       \
	X("bare LF in a value nobody reads", L "X: a\nHost: a\r\n\r\n", HTTP_HEADER)               \
	X("bare CR", L "X: a\rHost: a\r\n\r\n", HTTP_HEADER)                                       \
	X("two CR", L "X: a\r\r\nHost: a\r\n\r\n", HTTP_HEADER)                                    \
	X("NUL in a value", L "Host: a\r\nX: a\0b\r\n\r\n", HTTP_HEADER)                           \
	X("control in a value", L "Host: a\r\nX: a\x0b\r\n\r\n", HTTP_HEADER)                      \
	X("DEL in a value", L "Host: a\r\nX: a\x7f\r\n\r\n", HTTP_HEADER)                          \
	X("NUL in a name", L "Host: a\r\nX\0: b\r\n\r\n", HTTP_HEADER)                             \
	X("byte past ASCII in a name", L "Host: a\r\n\xc3\xa4: b\r\n\r\n", HTTP_HEADER)            \
	X("NUL in Host", L "Host: a\0b\r\n\r\n", HTTP_HEADER)                                      \
	X("bare LF ends the head", L "Host: a\r\n\n", HTTP_HEADER)                                 \
	X("bare CR ends the head", L "Host: a\r\n\rGET /no" H, HTTP_HEADER)                        \
	/* --- framing */                                                                          \
	X("two lengths", P "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", HTTP_FRAMING)    \
	X("two lengths alike", P "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",            \
	  HTTP_FRAMING)                                                                            \
	X("list of lengths", P "Content-Length: 5, 5\r\n\r\nhello", HTTP_FRAMING)                  \
	X("no length", P "Content-Length:\r\n\r\n", HTTP_FRAMING)                                  \
	X("signed", P "Content-Length: +5\r\n\r\nhello", HTTP_FRAMING)                             \
	X("negative", P "Content-Length: -5\r\n\r\nhello", HTTP_FRAMING)                           \
	X("hexadecimal", P "Content-Length: 0x5\r\n\r\nhello", HTTP_FRAMING)                       \
	X("fraction", P "Content-Length: 5.0\r\n\r\nhello", HTTP_FRAMING)                          \
	X("two numbers", P "Content-Length: 5 5\r\n\r\nhello", HTTP_FRAMING)                       \
	X("length behind a tab", P "Content-Length:\t5\r\n\r\nhello", HTTP_FRAMING)                \
	X("length with an underscore", P "Content_Length: 5\r\n\r\nhello", HTTP_HEADER)            \
	X("chunked before a tab", P "Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n", HTTP_FRAMING) \
	X("encoding with an underscore", P "Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n",          \
	  HTTP_HEADER)                                                                             \
	X("length past 64 bits", P "Content-Length: 18446744073709551621\r\n\r\nhello",            \
	  HTTP_FRAMING)                                                                            \
	X("length with NUL", P "Content-Length: 5\0\r\n\r\nhello", HTTP_FRAMING)                   \
	X("length, then chunked", P "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",     \
	  HTTP_FRAMING)                                                                            \
	X("chunked, then length", P "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",     \
	  HTTP_FRAMING)                                                                            \
	X("chunked twice", P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",   \
	  HTTP_FRAMING)                                                                            \
	X("chunked in HTTP/1.0",                                                                   \
	  "POST /ok HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HTTP_FRAMING)        \
	X("gzip, chunked", P "Transfer-Encoding: gzip, chunked\r\n\r\n", HTTP_FRAMING)             \
	X("chunked, chunked", P "Transfer-Encoding: chunked, chunked\r\n\r\n", HTTP_FRAMING)       \
	X("identity", P "Transfer-Encoding: identity\r\n\r\n", HTTP_FRAMING)                       \
	X("xchunked", P "Transfer-Encoding: xchunked\r\n\r\n", HTTP_FRAMING)                       \
	X("chunkedx", P "Transfer-Encoding: chunkedx\r\n\r\n", HTTP_FRAMING)                       \
	X("chunked with a parameter", P "Transfer-Encoding: chunked;a=b\r\n\r\n", HTTP_FRAMING)    \
	X("quoted chunked", P "Transfer-Encoding: \"chunked\"\r\n\r\n", HTTP_FRAMING)              \
	X("no encoding", P "Transfer-Encoding:\r\n\r\n", HTTP_FRAMING)                             \
	X("chunked behind a vertical tab",                                                         \
	  P "Transfer-Encoding: \x0b"                                                              \
	    "chunked\r\n\r\n",                                                                     \
	  HTTP_FRAMING)                                                                            \
	/* --- chunks */                                                                           \
	X("chunk extension", C "5;a=b\r\nhello\r\n0\r\n\r\n", HTTP_CHUNK)                          \
	X("no chunk size", C "\r\nhello\r\n0\r\n\r\n", HTTP_CHUNK)                                 \
	X("chunk size that is no number", C "g\r\nhello\r\n", HTTP_CHUNK)                          \
	X("negative chunk size", C "-5\r\nhello\r\n", HTTP_CHUNK)                                  \
	X("chunk size with 0x", C "0x5\r\nhello\r\n", HTTP_CHUNK)                                  \
	X("blank behind a chunk size", C "5 \r\nhello\r\n", HTTP_CHUNK)                            \
	X("blank before a chunk size", C " 5\r\nhello\r\n", HTTP_CHUNK)                            \
	X("bare LF behind a chunk size", C "5\nhello\r\n0\r\n\r\n", HTTP_CHUNK)                    \
	X("bare CR behind a chunk size", C "5\rhello\r\n0\r\n\r\n", HTTP_CHUNK)                    \
	X("chunk longer than its size", C "5\r\nhello!\r\n0\r\n\r\n", HTTP_CHUNK)                  \
	X("bare LF behind a chunk", C "5\r\nhello\n0\r\n\r\n", HTTP_CHUNK)                         \
	X("bare CR behind a chunk", C "5\r\nhello\r0\r\n\r\n", HTTP_CHUNK)                         \
	X("chunk size past 64 bits", C "10000000000000005\r\nhello\r\n", HTTP_CHUNK)               \
	X("chunk size past 60 bits", C "ffffffffffffffff\r\nhello\r\n", HTTP_CHUNK)                \
	X("chunk size past 48 bits", C "1000000000000\r\nhello\r\n", HTTP_CHUNK)                   \
	X("length past 48 bits", P "Content-Length: 281474976710657\r\n\r\nhello", HTTP_FRAMING)   \
	X("length in the trailer", C "0\r\nContent-Length: 5\r\n\r\n", HTTP_CHUNK)                 \
	X("encoding in the trailer", C "0\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_CHUNK)      \
	X("Host in the trailer", C "0\r\nHost: b\r\n\r\n", HTTP_CHUNK)                             \
	X("a rule's header in the trailer", C "0\r\nX-Tenant: blue\r\n\r\n", HTTP_CHUNK)           \
	X("folded trailer", C "0\r\nX: a\r\n b\r\n\r\n", HTTP_HEADER)                              \
	X("no colon in the trailer", C "0\r\nGET /no HTTP/1.1\r\n\r\n", HTTP_HEADER)

#endif
