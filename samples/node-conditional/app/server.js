'use strict';
const http = require('http');

http.createServer((request, response) => {
  let render;
  if (request.url.endsWith('?fancy')) {
    render = require('./render/fancy');
  } else {
    render = require('./render/plain');
  }
  response.end(render('hello') + '\n');
}).listen(Number(process.env.PORT || 8080), process.env.HOST || '0.0.0.0');

process.on('SIGTERM', () => process.exit(0));
