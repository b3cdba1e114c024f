'use strict';
const { loud } = require('greet/loud');

module.exports = (text) => `<b>${loud(text)}</b>`;
