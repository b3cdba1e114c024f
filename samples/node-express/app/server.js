'use strict';
const express = require('express');

const app = express();
const notes = ['*hello*', 'buy **milk**'];

app.get('/', (request, response) => response.json(notes));

app.get('/notes/:number', (request, response, next) => {
  const note = notes[request.params.number];
  if (note === undefined) return next();
  const { marked } = require('marked'); // rarely needed
  response.send(marked(note));
});

app.use(express.static(`${__dirname}/public`));

const server = app.listen(Number(process.env.PORT || 8080), process.env.HOST || '0.0.0.0');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
